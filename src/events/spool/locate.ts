/**
 * Where an event stands in a spool, without an index that could be wrong: segments say in their names what they
 * begin with, and within one the place is found by halving.
 *
 * Pure but for the handle that it is given: reads a few kilobytes of one file.
 */
import type { FileHandle } from 'node:fs/promises';
import type { SegmentName } from './format.js';

export interface Cursor {
  readonly gatewayId: string;
  readonly seq: number;
}

const ID = /^(\w{1,64})-(\d{1,15})$/;

/** Null: no `id` of an event. */
export function parseCursor(id: string): Cursor | null {
  const [, gatewayId, seq] = ID.exec(id) ?? [];
  return gatewayId === undefined ? null : { gatewayId, seq: Number(seq) };
}

/** The segment that holds the event, were it there; -1: none of that gateway, or none so early, is kept. */
export function segmentOf(segments: readonly SegmentName[], { gatewayId, seq }: Cursor): number {
  return segments.findLastIndex(segment => segment.gatewayId === gatewayId && segment.seq <= seq);
}

/** Closer than this, reading line by line is as quick. */
const NEAR_BYTES = 64 * 1024;
const PIECE = 4 * 1024;
/** In a record the event's own fields stand before any that somebody else may have written. */
const SEQ =
  /^\{"n":\d+,"prev":"[\w-]+","event":\{"version":\d+,"id":"[\w-]+","type":"[\w.]+","timestamp":[\d.]+,"seq":(\d+),/;

/** The start of a line at or before the record of `seq`, at most `NEAR_BYTES` and a line away. */
export async function offsetOf(handle: FileHandle, seq: number): Promise<number> {
  const { size } = await handle.stat();
  let low = 0;
  let high = size;
  while (high - low > NEAR_BYTES) {
    const middle = low + Math.floor((high - low) / 2);
    const found = await recordAfter(handle, middle, high);
    if (found === null || found.seq > seq) high = middle;
    else low = found.offset;
  }
  return low;
}

/** The first record whose line begins behind `offset` and before `end`. */
async function recordAfter(
  handle: FileHandle,
  offset: number,
  end: number,
): Promise<{ readonly offset: number; readonly seq: number } | null> {
  let text = '';
  let begin = -1;
  for (let at = offset; at < end; at += PIECE) {
    const piece = Buffer.alloc(PIECE);
    const { bytesRead } = await handle.read(piece, 0, PIECE, at);
    if (bytesRead === 0) return null;
    text += piece.toString('latin1', 0, bytesRead);
    // A head of a line is enough to know it by.
    for (begin = begin < 0 ? text.indexOf('\n') : begin; begin >= 0; begin = text.indexOf('\n', begin + 1)) {
      if (offset + begin + 1 >= end) return null;
      const seq = SEQ.exec(text.slice(begin + 1, begin + 1 + 400))?.[1];
      if (seq !== undefined) return { offset: offset + begin + 1, seq: Number(seq) };
      if (text.length - begin < 400) break;
    }
  }
  return null;
}
