/**
 * The writer of header blocks (RFC 7541 §6): static indexes and plain literals, never a dynamic entry.
 *
 * Pure. No table is kept with the peer, so none can leak a value from one answer to the other, and there is no state
 * that a lost block could upset. What is kept with us are the bytes of lists that come again and again.
 */
import { type HeaderList, isRepeated } from '../../core/headers.js';
import { STATIC_NAMES, STATIC_PAIRS } from './hpack-static.js';

/**
 * "The dynamic table has no room" (RFC 7541 §6.3): what stands first in the first block of a connection. We index
 * nothing, but a peer whose table is smaller than the default must be told so (§4.2).
 */
export const NO_TABLE = 0x20;

export const NONE_SENSITIVE: ReadonlySet<string> = new Set();

/**
 * Writes `fields` in order, behind `reserve` bytes that the caller fills. Names are lower case; names and values are
 * Latin-1 that the caller has checked. A field whose name is in `sensitive` is never indexed by anybody on its way
 * (RFC 7541 §7.1.3).
 */
export function emitFields(
  fields: HeaderList | MessageFields,
  reserve = 0,
  sensitive: ReadonlySet<string> = NONE_SENSITIVE,
): Buffer {
  if ('common' in fields) return emitMessage(fields, reserve, sensitive);
  const block = Buffer.allocUnsafe(reserve + mostBytes(fields));
  return block.subarray(0, writeFields(block, reserve, fields, sensitive));
}

/** The fields of a message: what only it has, and those that it may have in common with the one before. */
export interface MessageFields {
  /** Written first: the pseudo-fields. */
  readonly before: HeaderList;
  readonly common: CommonFields;
  readonly after: HeaderList;
}

/** Fields as HTTP/2 has them, or their bytes, where they were written before. */
export type CommonFields = HeaderList | Buffer;

function emitMessage(
  { before, common, after }: MessageFields,
  reserve: number,
  sensitive: ReadonlySet<string>,
): Buffer {
  const isWritten = Buffer.isBuffer(common);
  const most = mostBytes(before) + (isWritten ? common.length : mostBytes(common)) + mostBytes(after);
  const block = Buffer.allocUnsafe(reserve + most);
  let at = writeFields(block, reserve, before, NONE_SENSITIVE);
  at = isWritten ? at + common.copy(block, at) : writeFields(block, at, common, sensitive);
  return block.subarray(0, writeFields(block, at, after, NONE_SENSITIVE));
}

/**
 * What was written of lists that come again and again. One that holds a value goes with the view of the secrets that the
 * list is kept in.
 */
export class WrittenFields {
  readonly #written = new WeakMap<
    HeaderList,
    { readonly bytes: Buffer; readonly sensitive: ReadonlySet<string> }
  >();

  get(headers: HeaderList, sensitive: ReadonlySet<string>): Buffer | null {
    const known = this.#written.get(headers);
    return known?.sensitive === sensitive ? known.bytes : null;
  }

  /** `fields` is how HTTP/2 has `headers`. */
  keep(headers: HeaderList, sensitive: ReadonlySet<string>, fields: HeaderList): CommonFields {
    if (!isRepeated(headers)) return fields;
    const bytes = emitFields(fields, 0, sensitive);
    this.#written.set(headers, { bytes, sensitive });
    return bytes;
  }
}

/** An index and two lengths, of at most five bytes each, for every field. */
function mostBytes(fields: HeaderList): number {
  let most = 0;
  for (const [name, value] of fields) most += name.length + value.length + 15;
  return most;
}

function writeFields(
  block: Buffer,
  from: number,
  fields: HeaderList,
  sensitive: ReadonlySet<string>,
): number {
  let at = from;
  for (const [name, value] of fields) {
    at = sensitive.has(name)
      ? writeLiteral(block, at, NEVER, name, value)
      : writeField(block, at, name, value);
  }
  return at;
}

function writeField(block: Buffer, from: number, name: string, value: string): number {
  // Only short values stand in the table: a long one is not worth a key.
  const pair = value.length <= 13 ? STATIC_PAIRS.get(`${name}: ${value}`) : undefined;
  if (pair !== undefined) return writeInteger(block, from, 0x80, 7, pair);
  return writeLiteral(block, from, NOT_NOW, name, value);
}

/** Patterns of literals: without indexing, and never indexed. */
const NOT_NOW = 0x00;
const NEVER = 0x10;

function writeLiteral(block: Buffer, from: number, pattern: number, name: string, value: string): number {
  const known = STATIC_NAMES.get(name);
  let at = writeInteger(block, from, pattern, 4, known ?? 0);
  if (known === undefined) at = writeText(block, at, name);
  return writeText(block, at, value);
}

function writeText(block: Buffer, from: number, text: string): number {
  const at = writeInteger(block, from, 0, 7, text.length);
  return at + block.write(text, at, 'latin1');
}

function writeInteger(
  block: Buffer,
  from: number,
  pattern: number,
  prefixBits: number,
  value: number,
): number {
  const mask = (1 << prefixBits) - 1;
  let at = from;
  if (value < mask) {
    block[at++] = pattern | value;
    return at;
  }
  block[at++] = pattern | mask;
  let rest = value - mask;
  while (rest > 0x7f) {
    block[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  block[at++] = rest;
  return at;
}
