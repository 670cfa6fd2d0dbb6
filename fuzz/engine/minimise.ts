/** A small input that still fails: pieces are taken out, then bytes are made plain. Pure but for what it asks. */

/** Most questions. */
const QUESTIONS = 3_000;

export async function minimise(input: Buffer, fails: (input: Buffer) => Promise<boolean>): Promise<Buffer> {
  let left = QUESTIONS;
  let best = input;
  const better = async (candidate: Buffer): Promise<boolean> => {
    if (left-- <= 0 || !(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = best.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let at = 0; at + size <= best.length; ) {
      if (!(await better(Buffer.concat([best.subarray(0, at), best.subarray(at + size)])))) at += size;
    }
  }
  for (let at = 0; at < best.length && left > 0; at++) {
    for (const plain of 'a0') {
      const candidate = Buffer.from(best);
      candidate[at] = plain.charCodeAt(0);
      if (best[at] === candidate[at] || (await better(candidate))) break;
    }
  }
  return best;
}
