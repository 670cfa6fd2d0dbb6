/**
 * Which segments go when the spool is larger or older than it may be: whole ones, the oldest first, never the last.
 *
 * Pure: sizes and times are passed in.
 */
import type { SegmentName } from './format.js';

export interface Retention {
  /** Of all segments together, in bytes; null: no bound. */
  readonly maxBytes: number | null;
  /** Since a segment was last written to, in milliseconds; null: no bound. */
  readonly maxAgeMs: number | null;
}

export interface Kept extends SegmentName {
  readonly bytes: number;
  /** When it was last written to, milliseconds since the Unix epoch. */
  readonly writtenAt: number;
}

/** How many of `segments` (oldest first, without the one that is written to) are to be removed. */
export function expired(
  segments: readonly Kept[],
  { maxBytes, maxAgeMs }: Retention,
  now: number,
  currentBytes: number,
): number {
  let bytes = segments.reduce((sum, segment) => sum + segment.bytes, currentBytes);
  let gone = 0;
  for (const segment of segments) {
    const tooMuch = maxBytes !== null && bytes > maxBytes;
    const tooOld = maxAgeMs !== null && now - segment.writtenAt > maxAgeMs;
    if (!tooMuch && !tooOld) break;
    bytes -= segment.bytes;
    gone += 1;
  }
  return gone;
}
