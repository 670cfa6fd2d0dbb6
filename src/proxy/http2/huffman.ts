/**
 * The Huffman code of HPACK (RFC 7541 §5.2, appendix B), read four bits at a time.
 *
 * Pure. The code is canonical, so the length of each symbol's code is all that has to be known.
 */

/** The length of each symbol's code, EOS last: `A` is 5 bits, `B` is 6, and so on. */
const LENGTHS =
  'ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBA' +
  'BCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWW' +
  'PTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ';

const SHORTEST = 5;
const EOS = 256;

/** The bits of one symbol's code. */
export interface HuffmanCode {
  readonly code: number;
  readonly length: number;
}

/** The codes of the 256 bytes and EOS. */
export const HUFFMAN_CODES: readonly HuffmanCode[] = canonicalCodes();

function canonicalCodes(): HuffmanCode[] {
  const lengths = Array.from(LENGTHS, letter => letter.charCodeAt(0) - 0x41 + SHORTEST);
  const order = lengths.map((length, symbol) => ({ length, symbol }));
  order.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  const codes: HuffmanCode[] = [];
  let next = 0;
  let width = 0;
  for (const { length, symbol } of order) {
    next *= 2 ** (length - width);
    width = length;
    codes[symbol] = { code: next++, length };
  }
  return codes;
}

/** Two entries a node: where 0 and where 1 leads. Below zero: the symbol `-1 - entry` ends here. */
function codeTree(): number[] {
  const tree = [0, 0];
  for (const [symbol, { code, length }] of HUFFMAN_CODES.entries()) {
    let at = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const branch = at + ((code >>> bit) & 1);
      if (tree[branch] === 0) {
        tree[branch] = tree.length;
        tree.push(0, 0);
      }
      at = tree[branch] ?? 0;
    }
    tree[at + (code & 1)] = -1 - symbol;
  }
  return tree;
}

const FAILS = -1;
const EMITS = 0x100;

/**
 * Sixteen entries a state: what four more bits come to. An entry is `state << 9`, with `EMITS | symbol` where they
 * end one (never two: no code is shorter than five bits), or `FAILS`.
 */
const STEPS = decodingSteps(codeTree());

/** States in which the input may end: up to seven bits of padding, all ones (RFC 7541 §5.2). */
const MAY_END = endingStates(codeTree());

function decodingSteps(tree: readonly number[]): Int32Array {
  const steps = new Int32Array((tree.length / 2) * 16);
  for (let state = 0; state < tree.length / 2; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(tree, state, nibble);
  }
  return steps;
}

function step(tree: readonly number[], state: number, nibble: number): number {
  let at = state * 2;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    at = tree[at + ((nibble >> bit) & 1)] ?? 0;
    if (at >= 0) continue;
    const symbol = -1 - at;
    if (symbol === EOS) return FAILS;
    emitted = EMITS | symbol;
    at = 0;
  }
  return ((at / 2) << 9) | emitted;
}

function endingStates(tree: readonly number[]): Uint8Array {
  const states = new Uint8Array(tree.length / 2);
  let at = 0;
  for (let ones = 0; ones < 8; ones++) {
    states[at / 2] = 1;
    at = tree[at + 1] ?? 0;
  }
  return states;
}

/** Decoding is synchronous, so one buffer serves all; a longer string gets its own. */
const scratch = Buffer.allocUnsafeSlow(8192);

/** Reads `bytes` from `start` to `end` as Latin-1 text. Null for a wrong code, EOS, or padding that is not ones. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | null {
  const most = ((end - start) * 8) / SHORTEST;
  const out = most <= scratch.length ? scratch : Buffer.allocUnsafe(Math.ceil(most));
  let length = 0;
  let state = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    const high = STEPS[(state << 4) | (byte >> 4)] ?? FAILS;
    if (high === FAILS) return null;
    if ((high & EMITS) !== 0) out[length++] = high & 0xff;
    const low = STEPS[((high >> 9) << 4) | (byte & 15)] ?? FAILS;
    if (low === FAILS) return null;
    if ((low & EMITS) !== 0) out[length++] = low & 0xff;
    state = low >> 9;
  }
  return MAY_END[state] === 1 ? out.toString('latin1', 0, length) : null;
}
