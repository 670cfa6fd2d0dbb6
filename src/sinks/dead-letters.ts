/**
 * The events that could not be delivered, as lines of the event log in a file of their own, so that whatever reads a
 * log reads them. A shell, by way of the log file's.
 *
 * Bounded: a sink that is down for good must not fill the disk that the log itself needs.
 */
import { errorCode, GatewayError } from '../core/errors.js';
import { encodeEvent } from '../events/encode.js';
import type { Event } from '../events/event.js';
import { type LogFile, openLogFile } from '../events/log-file.js';

export interface DeadLetters {
  /** All of `events` are in the file when it resolves. Throws `EVENTS_FAILED`. */
  write(events: readonly Event[]): Promise<void>;
  close(): Promise<void>;
}

/** Opens or continues `path`. Throws `EVENTS_FAILED`. */
export async function openDeadLetters(path: string, maxBytes: number): Promise<DeadLetters> {
  const file = await openLogFile(path);
  return new DeadLetterFile(path, maxBytes, file);
}

class DeadLetterFile implements DeadLetters {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #file: LogFile;
  #bytes: number;
  /** The last line is not whole: a write failed in its middle, or a crash. */
  #midLine: boolean;

  constructor(path: string, maxBytes: number, file: LogFile) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#file = file;
    this.#bytes = file.size;
    this.#midLine = file.midLine;
  }

  async write(events: readonly Event[]): Promise<void> {
    const lines = Buffer.from(events.map(encodeEvent).join(''), 'latin1');
    if (this.#bytes + lines.length > this.#maxBytes) {
      throw new GatewayError(
        'EVENTS_FAILED',
        `dead letters ${this.#path}: the file is as large as it may be`,
      );
    }
    await this.#append(this.#midLine ? Buffer.concat([LINE_FEED, lines]) : lines);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #append(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    try {
      while (offset < bytes.length) offset += await this.#file.write(bytes, offset);
      this.#midLine = false;
    } catch (error) {
      this.#midLine = offset > 0 || this.#midLine;
      const code = errorCode(error);
      throw new GatewayError('EVENTS_FAILED', `dead letters ${this.#path}: cannot be written: ${code}`, {
        cause: error,
      });
    } finally {
      this.#bytes += offset;
    }
  }
}

const LINE_FEED = Buffer.from('\n');
