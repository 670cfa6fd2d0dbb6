/**
 * What an HTTP/2 server has sent, stream by stream: a second reading, as simple as can be, that knows no errors
 * (RFC 9113 §4.1). It cuts frames by their lengths, and stops where a frame or a header block is not whole.
 *
 * Pure.
 */
import type { HeaderList } from '../../src/core/headers.js';
import { HpackDecoder } from '../../src/proxy/http2/hpack-decoder.js';

export interface ServerStreamSeen {
  /** Content of all DATA frames, what has come of the last one too. */
  content: Buffer;
  /** Length of `content` where END_STREAM stood, or null. */
  endsAt: number | null;
  /** Every field that a block of this stream held. */
  readonly fields: HeaderList[];
}

const DATA = 0;
const HEADERS = 1;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 32;
const HEAD_BYTES = 9;

/** The streams in `bytes`, by their number. */
export function serverStreams(bytes: Buffer): ReadonlyMap<number, ServerStreamSeen> {
  const streams = new Map<number, ServerStreamSeen>();
  const lists = new HpackDecoder({ bytes: 1 << 24, fields: 1 << 20 });
  let block: { stream: number; parts: Buffer[] } | null = null;
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3] ?? 0;
    const flags = bytes[at + 4] ?? 0;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    const payload = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    at += HEAD_BYTES + length;
    if (type === DATA) takeContent(seenOf(streams, stream), payload, length, flags);
    if (at > bytes.length) break;
    if (type === HEADERS) block = { stream, parts: [fragmentOf(payload, flags)] };
    else if (type === CONTINUATION) block?.parts.push(payload);
    if (type === HEADERS && (flags & END_STREAM) !== 0) markEnd(seenOf(streams, stream));
    if (block === null || (flags & END_HEADERS) === 0 || (type !== HEADERS && type !== CONTINUATION))
      continue;
    const list = lists.decode(Buffer.concat(block.parts));
    if (!list.ok) break;
    seenOf(streams, block.stream).fields.push(list.value.fields);
    block = null;
  }
  return streams;
}

function seenOf(streams: Map<number, ServerStreamSeen>, id: number): ServerStreamSeen {
  const known = streams.get(id);
  if (known !== undefined) return known;
  const made: ServerStreamSeen = { content: Buffer.alloc(0), endsAt: null, fields: [] };
  streams.set(id, made);
  return made;
}

function takeContent(seen: ServerStreamSeen, payload: Buffer, length: number, flags: number): void {
  const padded = (flags & PADDED) !== 0;
  const padding = padded ? (payload[0] ?? 0) : 0;
  const from = padded ? 1 : 0;
  const whole = Math.max(0, length - from - padding);
  seen.content = Buffer.concat([seen.content, payload.subarray(from, from + whole)]);
  if ((flags & END_STREAM) !== 0) markEnd(seen);
}

/** The first end counts: what comes behind it is nobody's. */
function markEnd(seen: ServerStreamSeen): void {
  seen.endsAt ??= seen.content.length;
}

function fragmentOf(payload: Buffer, flags: number): Buffer {
  const padded = (flags & PADDED) !== 0;
  const start = (padded ? 1 : 0) + ((flags & PRIORITY) !== 0 ? 5 : 0);
  return payload.subarray(start, payload.length - (padded ? (payload[0] ?? 0) : 0));
}
