/**
 * Events as JSON lines in a file, a pipe or on standard output.
 *
 * A shell. Lines are whole or absent: what a full disk interrupts is continued where it stopped, and a line that a
 * crash cut short is ended by the next start. Refusals are written at once, the rest within `FLUSH_MS`.
 */
import type { Clock } from '../core/clock.js';
import { errorCode, GatewayError } from '../core/errors.js';
import { AsciiWriter } from './ascii.js';
import { writeLine } from './encode.js';
import type { Event } from './event.js';
import type { Sink } from './feeder.js';
import { isRotated, type LogFile, openLogFile } from './log-file.js';
import { PatientWriter } from './patient.js';
import { type RotateRule, rotateAway } from './rotate.js';
import { isWeighty } from './weight.js';

export interface FileSinkOptions {
  /** A path, `-` for standard output, `/dev/fd/N`. */
  readonly path: string;
  readonly clock: Clock;
  /** `block`, the default: what cannot be put on record is refused. */
  readonly whenFull?: Sink['whenFull'];
  /** Stands in reports. Default: `event log PATH`. */
  readonly name?: string;
  /** The line of an event, line feed included, in printable ASCII. Default: JSON. */
  readonly encode?: (event: Event) => string;
  /** When the log is moved aside for a new one; only for regular files. */
  readonly rotate?: RotateRule;
  /** Told once for each run of failures that may pass (disk full), and when they end nothing more is said. */
  readonly onTrouble?: (error: GatewayError) => void;
}

/** Longest time that an allowed event waits for others, in milliseconds. */
const FLUSH_MS = 50;

/** Beyond so many bytes nothing waits: to wake the thread that writes costs as much as to write a hundred lines. */
const FLUSH_BYTES = 256 * 1024;

const LINE_FEED = Buffer.from('\n');

const ROTATION_CHECK_MS = 1_000;

/** What a file system of another machine says while that is away. */
const ALSO_PASSING = ['EIO'];

/** Opens the log. Throws `EVENTS_FAILED`. */
export async function openFileSink(options: FileSinkOptions): Promise<Sink> {
  return new FileSink(options, await openLogFile(options.path));
}

class FileSink implements Sink {
  readonly name: string;
  readonly whenFull: Sink['whenFull'];
  readonly #options: FileSinkOptions;
  readonly #writer: PatientWriter;
  #file: LogFile;
  #checkedAt: number;
  /** Of the file that is written to, and when it was opened. */
  #bytes: number;
  #openedAt: number;
  /** Lines not yet handed to the kernel. */
  readonly #lines = new AsciiWriter();
  /** The file ends in the middle of a line: a line feed comes first. */
  #midLine: boolean;
  #timer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> | null = null;
  /** Begins when `#flushing` has ended. */
  #nextFlush: Promise<void> | null = null;

  constructor(options: FileSinkOptions, file: LogFile) {
    this.name = options.name ?? `event log ${options.path}`;
    this.whenFull = options.whenFull ?? 'block';
    this.#options = options;
    this.#writer = new PatientWriter(this.name, error => options.onTrouble?.(error), ALSO_PASSING);
    this.#file = file;
    this.#checkedAt = options.clock.monotonic();
    this.#openedAt = this.#checkedAt;
    this.#bytes = file.size;
    this.#midLine = file.midLine;
  }

  get failing(): boolean {
    return this.#writer.failing;
  }

  write(events: readonly Event[]): Promise<void> | void {
    if (this.#writer.broken !== null) throw this.#writer.broken;
    let urgent = false;
    for (const event of events) {
      this.#append(event);
      urgent ||= isWeighty(event);
    }
    if (urgent || this.#lines.at >= FLUSH_BYTES) return this.#flush();
    this.#timer ??= setTimeout(() => {
      // The fault stays with the writer: the next write tells the bus.
      this.#flush().catch(() => undefined);
    }, FLUSH_MS).unref();
  }

  #append(event: Event): void {
    const { encode } = this.#options;
    const begin = this.#lines.at;
    try {
      if (encode === undefined) writeLine(this.#lines, event);
      else this.#lines.escaped(encode(event));
    } catch (error) {
      // What was begun of it would stand before the next line.
      this.#lines.at = begin;
      throw error;
    }
  }

  async close(signal?: AbortSignal): Promise<void> {
    const abort = (): void => this.#writer.giveUp();
    // A fault met from here on is final: nobody is left to wait for it to pass.
    if (signal === undefined || signal.aborted || this.failing) abort();
    else signal.addEventListener('abort', abort, { once: true });
    try {
      if (this.#writer.broken === null) await this.#flush();
    } finally {
      signal?.removeEventListener('abort', abort);
      await this.#file.close();
    }
  }

  /**
   * Resolves when what was appended before the call is the kernel's. One flush at a time writes what is there when it begins:
   * to go on with what came meanwhile would be to write line by line where writing takes as long as a few requests.
   */
  #flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#flushing === null) {
      this.#flushing = this.#drain().finally(() => {
        this.#flushing = null;
      });
      return this.#flushing;
    }
    this.#nextFlush ??= this.#flushing
      .catch(() => undefined) // told to whoever asked for it
      .then(() => {
        this.#nextFlush = null;
        return this.#flush();
      });
    return this.#nextFlush;
  }

  async #drain(): Promise<void> {
    if (this.#writer.broken !== null) throw this.#writer.broken;
    if (this.#lines.at === 0 && !this.#midLine) return;
    await this.#followRotation();
    await this.#rotateIfDue();
    await this.#writer.writeAll(this.#takeLines(), this.#write);
  }

  /** A copy: lines go on to be written while it is on its way. */
  #takeLines(): Uint8Array {
    const lines = this.#lines.view();
    const bytes = Buffer.concat(this.#midLine ? [LINE_FEED, lines] : [lines]);
    this.#midLine = false;
    this.#lines.reset();
    return bytes;
  }

  readonly #write = async (bytes: Uint8Array, offset: number): Promise<number> => {
    const taken = await this.#file.write(bytes, offset);
    this.#bytes += taken;
    return taken;
  };

  /** A log that was moved or removed is made anew, so that rotation needs no signal. */
  async #followRotation(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (now - this.#checkedAt < ROTATION_CHECK_MS) return;
    this.#checkedAt = now;
    if (!(await isRotated(this.#options.path, this.#file))) return;
    await this.#reopen();
  }

  /** Moves a log that is large or old enough aside. One that is empty stays: there is nothing to keep of it. */
  async #rotateIfDue(): Promise<void> {
    const { rotate, path, clock, onTrouble } = this.#options;
    if (rotate === undefined || this.#file.identity === null || this.#bytes === 0) return;
    const old = rotate.ageMs !== null && clock.monotonic() - this.#openedAt >= rotate.ageMs;
    if (!old && (rotate.bytes === null || this.#bytes < rotate.bytes)) return;
    try {
      await rotateAway(path, rotate.keep);
      await this.#reopen();
    } catch (error) {
      // The log goes on where it is; after as much time or as many bytes again there is another attempt.
      this.#openedAt = clock.monotonic();
      this.#bytes = 1;
      const message = `${this.name} cannot be rotated: ${errorCode(error)}`;
      onTrouble?.(new GatewayError('EVENTS_FAILED', message, { cause: error }));
    }
  }

  async #reopen(): Promise<void> {
    try {
      const file = await openLogFile(this.#options.path);
      await this.#file.close();
      this.#file = file;
      this.#bytes = file.size;
      this.#openedAt = this.#options.clock.monotonic();
      this.#midLine = file.midLine;
    } catch (error) {
      // The old file still takes what comes; the next check tries again.
      if (error instanceof GatewayError) this.#options.onTrouble?.(error);
    }
  }
}
