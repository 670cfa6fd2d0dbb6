/**
 * The lines of a log, batch by batch, as it is or as it grows.
 *
 * A shell. Only whole lines come out: what stands behind the last line feed is a line that a crash cut short, or one
 * that is being written. A log that is moved away while it is followed is read to its end, then the new one begins.
 */
import { isAscii } from 'node:buffer';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, GatewayError } from '../core/errors.js';

export interface LineOptions {
  /** Goes on at the end of the file, until `signal` fires. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
  /** Where to begin, in bytes: the start of a line. */
  readonly offset?: number;
}

export interface LineBatch {
  readonly lines: readonly string[];
  /** Number of the first of them, from 1, counted from where reading began. */
  readonly firstLine: number;
}

/** How often a log that is followed is looked at, in milliseconds. */
const LOOK_MS = 100;

/** The text of a larger piece is beyond what the engine keeps among its young objects: a map of memory for each. */
const READ_BYTES = 64 * 1024;

/** No event is so long: a file without line feeds is no log. */
const LONGEST_LINE = 4 * 1024 * 1024;

/** Throws `EVENTS_FAILED` for a file that cannot be read, `EVENTS_INVALID` for a line without an end. */
export async function* readLines(path: string, options: LineOptions = {}): AsyncGenerator<LineBatch> {
  let handle = await openLog(path);
  try {
    let lines = new LineCutter(path, options.offset ?? 0);
    while (options.signal?.aborted !== true) {
      const batch = await lines.next(handle);
      if (batch !== null) {
        if (batch.lines.length > 0) yield batch;
        continue;
      }
      if (options.follow !== true) return;
      const newer = await successor(path, handle, lines.offset);
      if (newer === null) await pause(options.signal);
      else {
        if (newer !== handle) await handle.close();
        handle = newer;
        lines = new LineCutter(path, 0);
      }
    }
  } finally {
    await handle.close();
  }
}

/** Cuts a file that is read from `offset` on into whole lines. */
export class LineCutter {
  readonly #path: string;
  #buffer = Buffer.allocUnsafe(2 * READ_BYTES);
  /** Bytes at the beginning of the buffer that no line feed has ended yet. */
  restBytes = 0;
  #line = 1;
  /** Next byte to be read. */
  offset: number;

  constructor(path: string, offset: number) {
    this.#path = path;
    this.offset = offset;
  }

  /** The lines of the next piece, perhaps none; null at the end of the file. */
  async next(handle: FileHandle): Promise<LineBatch | null> {
    const from = this.restBytes;
    const { bytesRead } = await handle.read(this.#roomFor(READ_BYTES), from, READ_BYTES, this.offset);
    if (bytesRead === 0) return null;
    this.offset += bytesRead;
    const held = this.#buffer.subarray(0, from + bytesRead);
    const end = held.subarray(from).lastIndexOf(LINE_FEED);
    if (end < 0) {
      this.restBytes = held.length;
      if (this.restBytes <= LONGEST_LINE) return { lines: [], firstLine: this.#line };
      const message = `${this.#path}:${this.#line}: a line of over ${LONGEST_LINE} bytes`;
      throw new GatewayError('EVENTS_INVALID', message);
    }
    const lines = textOf(held.subarray(0, from + end)).split('\n');
    held.copyWithin(0, from + end + 1);
    this.restBytes = bytesRead - end - 1;
    const firstLine = this.#line;
    this.#line += lines.length;
    return { lines, firstLine };
  }

  #roomFor(count: number): Buffer {
    if (this.#buffer.length - this.restBytes < count) {
      const larger = Buffer.allocUnsafe(2 * this.#buffer.length);
      this.#buffer.copy(larger, 0, 0, this.restBytes);
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}

const LINE_FEED = 0x0a;

/** A line of ours is ASCII, and to decode that as UTF-8 takes several times as long. */
function textOf(bytes: Buffer): string {
  return bytes.toString(isAscii(bytes) ? 'latin1' : 'utf8');
}

/** What is to be read on: another file that took the path, the same one if it was emptied, or null: nothing new. */
async function successor(path: string, handle: FileHandle, offset: number): Promise<FileHandle | null> {
  const own = await handle.stat();
  if (own.size < offset) return handle;
  // Between a log that was moved away and its successor there may be none.
  const current = await stat(path).catch(() => null);
  if (current === null || (current.ino === own.ino && current.dev === own.dev)) return null;
  // What was written between the last look and the move.
  if ((await handle.stat()).size > offset) return null;
  return await openLog(path).catch(() => null);
}

async function openLog(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new GatewayError('EVENTS_FAILED', `${path}: cannot be read (${errorCode(cause)})`, { cause });
  }
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(LOOK_MS, undefined, signal && { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}
