/**
 * A spool's events, in their order, from any of them on, as it is or as it grows; also while another process writes.
 *
 * A shell. Each segment is read to its end before the next begins; what retention removes under a reader is an error,
 * never a silent gap.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { Event } from '../event.js';
import { type LineBatch, LineCutter } from '../lines.js';
import { type BadLine, parseEvent } from '../parse.js';
import { listSegments, readManifest } from './folder.js';
import { parseSpoolLine, type SegmentName } from './format.js';
import { type Cursor, offsetOf, parseCursor, segmentOf } from './locate.js';
import type { News } from './wakes.js';

export interface SpoolReadOptions {
  /**
   * The `id` of an event: what comes after it. Absent or `start`: everything. `end`: what is written from now on.
   * `segment:N`: from that segment on, although it may not be there yet.
   */
  readonly from?: string;
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
  readonly onBadLine?: (bad: BadLine) => void;
  /** What is waited for at the end. Default: to look again in a while. */
  readonly news?: News;
}

/** How often a spool that another process writes is looked at, in milliseconds. */
const LOOK_MS = 100;

const POLL: News = {
  count: 0,
  next: async (_seen, signal) => {
    await delay(LOOK_MS, undefined, signal && { signal }).catch(() => {
      // Aborted: the answer says so.
    });
    return signal?.aborted !== true;
  },
};

/** Where in the spool a reader stands. */
interface Place {
  readonly segment: SegmentName;
  readonly offset: number;
  /** Events of this gateway up to this `seq` are passed over. */
  readonly after: Cursor | null;
}

/** Throws `GatewayError`: SPOOL_INVALID, EVENTS_INVALID (`FILE:LINE: why`), CURSOR_UNKNOWN. */
export async function* readSpool(
  dir: string,
  options: SpoolReadOptions = {},
): AsyncGenerator<readonly Event[]> {
  const { news = POLL, signal, follow } = options;
  await readManifest(dir);
  let seen = news.count;
  let place = await placeOf(dir, options.from);
  while (place === null) {
    if (follow !== true || !(await news.next(seen, signal))) return;
    seen = news.count;
    // In a spool that was empty, everything is new.
    place = await placeOf(dir, options.from === 'end' ? 'start' : options.from);
  }
  for (let next: Place | null = place; next !== null && signal?.aborted !== true; ) {
    next = yield* readSegment(dir, next, options);
  }
}

/** Null: there is no segment yet. */
async function placeOf(dir: string, from = 'start'): Promise<Place | null> {
  const segments = await listSegments(dir);
  const first = segments[0];
  const last = segments.at(-1);
  if (first === undefined || last === undefined) return null;
  if (from === 'start') return { segment: first, offset: 0, after: null };
  const opening = /^segment:(\d+)$/.exec(from)?.[1];
  if (opening !== undefined) {
    if (Number(opening) < first.segment) throw removedBefore(dir, first);
    const segment = segments.find(one => one.segment >= Number(opening));
    return segment === undefined ? null : { segment, offset: 0, after: null };
  }
  if (from === 'end') return { segment: last, offset: -1, after: null };
  const after = parseCursor(from);
  const at = after === null ? -1 : segmentOf(segments, after);
  const segment = segments[at];
  if (after === null || segment === undefined) {
    const text = `${dir}: there is no event ${JSON.stringify(from)}, or not any more; the oldest kept is record ${first.first}`;
    throw new GatewayError('CURSOR_UNKNOWN', text);
  }
  return { segment, offset: -1, after };
}

/** Yields the segment's events to its end; gives back where to go on, or null: nowhere. */
async function* readSegment(
  dir: string,
  { segment, offset, after }: Place,
  options: SpoolReadOptions,
): AsyncGenerator<readonly Event[], Place | null> {
  const { news = POLL, signal, follow } = options;
  const path = join(dir, segment.file);
  const handle = await openSegment(path);
  try {
    const begin = offset >= 0 ? offset : await beginOf(handle, after);
    const lines = new LineCutter(path, begin);
    const skip = after?.gatewayId === segment.gatewayId ? after.seq : 0;
    for (;;) {
      const seen = news.count;
      // Looked for before the end is: what is in the next one was written after this one's last line.
      const next = await successorOf(dir, segment);
      for (let batch = await lines.next(handle); batch !== null; batch = await lines.next(handle)) {
        if (signal?.aborted) return null;
        const events = await eventsIn(batch, path, begin, options);
        const wanted = skip === 0 ? events : events.filter(({ seq }) => seq > skip);
        if (wanted.length > 0) yield wanted;
      }
      if (next !== null) return { segment: next, offset: 0, after: null };
      if (follow !== true || !(await news.next(seen, signal))) return null;
    }
  } finally {
    await handle.close();
  }
}

/** `after` null: the end. */
async function beginOf(handle: FileHandle, after: Cursor | null): Promise<number> {
  return after === null ? await lastLineEnd(handle) : await offsetOf(handle, after.seq);
}

async function successorOf(dir: string, { segment }: SegmentName): Promise<SegmentName | null> {
  const next = (await listSegments(dir)).find(one => one.segment > segment);
  if (next === undefined || next.segment === segment + 1) return next ?? null;
  throw removedBefore(dir, next);
}

function removedBefore(dir: string, { first }: SegmentName): GatewayError {
  const text = `${dir}: records before ${first} were removed before they were read`;
  return new GatewayError('CURSOR_UNKNOWN', text);
}

/** Behind the last whole line: what stands there is being written. */
async function lastLineEnd(handle: FileHandle): Promise<number> {
  const { size } = await handle.stat();
  const piece = Buffer.alloc(Math.min(size, 1024 * 1024));
  await handle.read(piece, 0, piece.length, size - piece.length);
  return size - piece.length + piece.lastIndexOf(0x0a) + 1;
}

async function eventsIn(
  { lines, firstLine }: LineBatch,
  path: string,
  begin: number,
  { onBadLine }: SpoolReadOptions,
): Promise<Event[]> {
  const events: Event[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = parseSpoolLine(lines[i] ?? '');
    if (line !== null && line.kind !== 'record') continue;
    const event = line === null ? null : parseEvent(line.event);
    if (event?.ok) {
      events.push(event.value);
      continue;
    }
    const reason = event === null ? 'no line of a spool' : event.error;
    const bad = { file: path, line: firstLine + i + (await linesBefore(path, begin)), reason };
    if (onBadLine === undefined) throw new GatewayError('EVENTS_INVALID', `${path}:${bad.line}: ${reason}`);
    onBadLine(bad);
  }
  return events;
}

/** Only asked when there is something to complain about. */
async function linesBefore(path: string, offset: number): Promise<number> {
  if (offset === 0) return 0;
  const handle = await openSegment(path);
  try {
    const piece = Buffer.alloc(offset);
    await handle.read(piece, 0, offset, 0);
    let count = 0;
    for (let at = piece.indexOf(0x0a); at >= 0; at = piece.indexOf(0x0a, at + 1)) count += 1;
    return count;
  } finally {
    await handle.close();
  }
}

async function openSegment(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT')
      throw new GatewayError('EVENTS_FAILED', `${path}: cannot be read (${errorCode(cause)})`, { cause });
    throw new GatewayError('CURSOR_UNKNOWN', `${path} was removed before it was read`, { cause });
  }
}
