/**
 * Inputs out of inputs: a seed with a few random edits.
 *
 * Pure: the randomness is the caller's.
 */
import type { Random } from './random.js';

/** Longest input, in bytes. */
export const INPUT_BYTES = 16_384;

/** Bytes that grammars turn on. */
const ODD_BYTES = Buffer.from(
  '\0\x01\t\n\x0b\x0c\r !"#%&\'*+,-./0:;<=>?@AZ[\\]_az{|}~\x7f\x80\xad\xc0\xff',
  'latin1',
);

type Edit = (bytes: Buffer, random: Random, mutation: Mutation) => Buffer;

export interface Mutation {
  readonly seeds: readonly Buffer[];
  readonly tokens: readonly string[];
}

/** One of the seeds, changed. One time in sixteen it is left as it is. */
export function mutant(mutation: Mutation, random: Random): Buffer {
  let bytes: Buffer =
    mutation.seeds.length === 0 ? Buffer.alloc(0) : Buffer.from(random.pick(mutation.seeds));
  if (random.below(16) === 0) return bytes;
  const edits = 1 + random.below(1 << random.below(4));
  for (let i = 0; i < edits; i++) bytes = random.pick(EDITS)(bytes, random, mutation);
  return bytes.subarray(0, INPUT_BYTES);
}

const EDITS: readonly Edit[] = [
  flipBit,
  replaceByte,
  replaceByte,
  insertByte,
  insertByte,
  insertToken,
  insertToken,
  replaceByToken,
  remove,
  duplicate,
  splice,
  truncate,
  countUp,
  swapCase,
];

function flipBit(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length);
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
  return changed;
}

function replaceByte(bytes: Buffer, random: Random): Buffer {
  const changed = Buffer.from(bytes);
  changed[random.below(bytes.length)] = someByte(random);
  return changed;
}

function insertByte(bytes: Buffer, random: Random): Buffer {
  return inserted(bytes, random.below(bytes.length + 1), Buffer.of(someByte(random)));
}

function insertToken(bytes: Buffer, random: Random, { tokens }: Mutation): Buffer {
  if (tokens.length === 0) return bytes;
  return inserted(bytes, random.below(bytes.length + 1), Buffer.from(random.pick(tokens), 'latin1'));
}

function replaceByToken(bytes: Buffer, random: Random, { tokens }: Mutation): Buffer {
  if (tokens.length === 0) return bytes;
  const token = Buffer.from(random.pick(tokens), 'latin1');
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), token, bytes.subarray(at + token.length)]);
}

function remove(bytes: Buffer, random: Random): Buffer {
  const [from, to] = span(bytes, random);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
}

function duplicate(bytes: Buffer, random: Random): Buffer {
  const [from, to] = span(bytes, random);
  return inserted(
    bytes,
    random.below(2) === 0 ? to : random.below(bytes.length + 1),
    bytes.subarray(from, to),
  );
}

/** The beginning of this, the end of another. */
function splice(bytes: Buffer, random: Random, { seeds }: Mutation): Buffer {
  const other = random.pick(seeds);
  return Buffer.concat([
    bytes.subarray(0, random.below(bytes.length + 1)),
    other.subarray(random.below(other.length)),
  ]);
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return bytes.subarray(0, random.below(bytes.length + 1));
}

/** Lengths that are one off. */
function countUp(bytes: Buffer, random: Random): Buffer {
  const changed = Buffer.from(bytes);
  const at = random.below(bytes.length);
  changed[at] = (changed[at] ?? 0) + (random.below(2) === 0 ? 1 : 255);
  return changed;
}

function swapCase(bytes: Buffer, random: Random): Buffer {
  const [from, to] = span(bytes, random);
  const changed = Buffer.from(bytes);
  for (let i = from; i < to; i++) {
    const byte = changed[i] ?? 0;
    const lower = byte | 0x20;
    if (lower >= 0x61 && lower <= 0x7a) changed[i] = byte ^ 0x20;
  }
  return changed;
}

function span(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random.below(bytes.length);
  return [from, Math.min(bytes.length, from + 1 + random.below(1 << random.below(8)))];
}

function inserted(bytes: Buffer, at: number, more: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}

function someByte(random: Random): number {
  return random.below(4) === 0 ? random.below(256) : (ODD_BYTES[random.below(ODD_BYTES.length)] ?? 0);
}
