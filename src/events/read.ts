/**
 * Recorded events, in the order of the record: from a log that `--event-log` wrote, or from the folder of a spool.
 * What `tail`, `export`, `replay` and programs read with.
 *
 * A shell. Tolerant of a last line that is not whole yet; exact about every other that holds no event.
 */
import { stat } from 'node:fs/promises';
import { GatewayError } from '../core/errors.js';
import type { Event } from './event.js';
import { readLines } from './lines.js';
import { type BadLine, parseEvent } from './parse.js';
import { readSpool } from './spool/read.js';

export type { BadLine } from './parse.js';

export interface ReadOptions {
  /** The `id` of an event: what comes after it. Absent or `start`: everything. */
  readonly from?: string;
  /** Goes on at the end, with what is written from now on, until `signal` fires. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
  /** Told of a line that holds no event; reading goes on. Absent: `EVENTS_INVALID` is thrown. */
  readonly onBadLine?: (bad: BadLine) => void;
}

/**
 * The events of the log or spool `path`, one by one. Ends quietly when `signal` fires. Throws `GatewayError`: `EVENTS_FAILED`
 * for a file that cannot be read, `EVENTS_INVALID` for a line that holds no event (`FILE:LINE: why`),
 * `CURSOR_UNKNOWN` where there is no event `from`, or not any more, `SPOOL_INVALID` for a folder that is no spool of
 * ours.
 */
export async function* readEvents(path: string, options: ReadOptions = {}): AsyncGenerator<Event> {
  for await (const batch of readEventBatches(path, options)) yield* batch;
}

/** As `readEvents`, many at a time: a wait for each single event costs as much as reading it. */
export async function* readEventBatches(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<readonly Event[]> {
  // What cannot be asked cannot be read either, and the reader says why.
  const isFolder = await stat(path).then(
    stats => stats.isDirectory(),
    () => false,
  );
  if (isFolder) return yield* readSpool(path, options);
  let wanted = options.from === undefined || options.from === 'start' ? null : options.from;
  for await (const { lines, firstLine } of readLines(path, options)) {
    const events: Event[] = [];
    for (let i = 0; i < lines.length; i++) {
      const parsed = parseEvent(lines[i] ?? '');
      if (!parsed.ok) tell({ file: path, line: firstLine + i, reason: parsed.error }, options);
      else if (wanted === null) events.push(parsed.value);
      else if (parsed.value.id === wanted) wanted = null;
    }
    if (events.length > 0) yield events;
  }
  if (wanted !== null && options.signal?.aborted !== true) {
    throw new GatewayError('CURSOR_UNKNOWN', `${path}: there is no event ${JSON.stringify(wanted)}`);
  }
}

function tell(bad: BadLine, { onBadLine }: ReadOptions): void {
  if (onBadLine === undefined)
    throw new GatewayError('EVENTS_INVALID', `${bad.file}:${bad.line}: ${bad.reason}`);
  onBadLine(bad);
}
