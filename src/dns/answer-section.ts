/**
 * The answer section of a name server's message (RFC 1035 §4.1.3, §4.1.4): addresses and aliases, each with its owner.
 *
 * Pure, iterative, and bounded where the format is not: a name may jump a few times and only backwards, and a message
 * has so many records. A general decoder follows every pointer that goes back; 64 KiB of pointers to pointers, named by
 * some thousand records, held it for seconds.
 */
import { addressFromBytes, type IpAddress } from '../core/address.js';
import { err, ok, type Result } from '../core/result.js';

export type AnswerRecord =
  | { readonly kind: 'address'; readonly owner: string; readonly ttl: number; readonly address: IpAddress }
  | { readonly kind: 'alias'; readonly owner: string; readonly ttl: number; readonly target: string };

/** More records than an answer that anybody needs; what stands behind them is not read. */
const MAX_RECORDS = 256;
/** Writers point at a whole name before, or at the end of one: each of those may point once more. */
const MAX_JUMPS = 16;
const MAX_NAME_BYTES = 255;

const CLASS_IN = 1;
const TYPE_A = 1;
const TYPE_CNAME = 5;
const TYPE_AAAA = 28;
/** Type, class, TTL and the length of the data. */
const FIXED_BYTES = 10;

/** Reads the records that begin at `start`, as many as the header counts. Other types and classes are left out. */
export function readAnswerSection(
  message: Uint8Array,
  start: number,
): Result<readonly AnswerRecord[], 'malformed'> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const count = Math.min(view.getUint16(6), MAX_RECORDS);
  const records: AnswerRecord[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const fixed = skipName(message, at);
    if (fixed === null || fixed + FIXED_BYTES > message.length) return err('malformed');
    const data = fixed + FIXED_BYTES;
    const end = data + view.getUint16(fixed + 8);
    if (end > message.length) return err('malformed');
    if (view.getUint16(fixed + 2) === CLASS_IN) {
      const record = readRecord(message, {
        type: view.getUint16(fixed),
        owner: at,
        ttl: view.getUint32(fixed + 4),
        data,
        end,
      });
      if (record === 'malformed') return err('malformed');
      if (record !== null) records.push(record);
    }
    at = end;
  }
  return ok(records);
}

interface RawRecord {
  readonly type: number;
  /** Where its owner's name begins, and its data; where that ends. */
  readonly owner: number;
  readonly data: number;
  readonly end: number;
  readonly ttl: number;
}

/** Null: of a type that we do not ask about. */
function readRecord(message: Uint8Array, raw: RawRecord): AnswerRecord | 'malformed' | null {
  const { type, ttl, data, end } = raw;
  if (type !== TYPE_A && type !== TYPE_AAAA && type !== TYPE_CNAME) return null;
  const owner = readName(message, raw.owner);
  if (owner === null) return 'malformed';
  if (type === TYPE_CNAME) {
    const target = skipName(message, data) === end ? readName(message, data) : null;
    return target === null ? 'malformed' : { kind: 'alias', owner, ttl, target };
  }
  if (end - data !== (type === TYPE_A ? 4 : 16)) return 'malformed';
  return { kind: 'address', owner, ttl, address: addressFromBytes(message.slice(data, end)) };
}

/** The offset behind the name at `start`, which its first pointer ends; null where it is not whole. */
function skipName(message: Uint8Array, start: number): number | null {
  for (let at = start; at - start < MAX_NAME_BYTES; ) {
    const length = message[at];
    if (length === undefined) return null;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : null;
    if (length > 63) return null;
    at += 1 + length;
  }
  return null;
}

/**
 * The name at `start` in lower case, labels joined by dots; odd bytes as `\DDD`, so that no label passes for two. Null
 * where it is none: too long, not whole, or with a pointer that does not go back.
 */
function readName(message: Uint8Array, start: number): string | null {
  const labels: string[] = [];
  let bytes = 1;
  let before = start;
  let at = start;
  for (let jumps = 0; jumps <= MAX_JUMPS; ) {
    const length = message[at];
    if (length === undefined) return null;
    if (length === 0) return labels.join('.');
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0);
      if (at + 1 >= message.length || target >= before) return null;
      before = target;
      at = target;
      jumps += 1;
      continue;
    }
    bytes += 1 + length;
    const label = message.subarray(at + 1, at + 1 + length);
    if (length > 63 || bytes > MAX_NAME_BYTES || label.length < length) return null;
    labels.push(labelText(label));
    at += 1 + length;
  }
  return null;
}

function labelText(label: Uint8Array): string {
  let text = '';
  for (const byte of label) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text.toLowerCase();
}
