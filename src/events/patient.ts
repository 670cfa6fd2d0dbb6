/**
 * Writes bytes to their end, whatever passes meanwhile: a full disk is asked again until there is room, so that no
 * line is ever left half behind a whole one.
 *
 * A shell: one timer while it waits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, GatewayError } from '../core/errors.js';

/** Faults that may pass without us. After a failed fsync nobody knows what is on the disk: those do not. */
const PASSING: readonly string[] = ['ENOSPC', 'EDQUOT', 'EAGAIN', 'EINTR', 'EROFS', 'EFBIG'];

const RETRY_MS = 250;

/** A pipe whose reader is merely slow is asked again sooner, and is no trouble. */
const PIPE_RETRY_MS = 10;

export type Write = (bytes: Uint8Array, offset: number) => Promise<number>;

export class PatientWriter {
  readonly #name: string;
  readonly #passing: ReadonlySet<string>;
  readonly #onTrouble: (error: GatewayError) => void;
  readonly #closing = new AbortController();
  /** True while a fault that may pass has not. */
  failing = false;
  /** A fault that will not pass: every later step fails with it. */
  broken: GatewayError | null = null;

  /** `alsoPassing`: codes of faults that are waited for besides those of a full disk. */
  constructor(name: string, onTrouble: (error: GatewayError) => void, alsoPassing: readonly string[] = []) {
    this.#name = name;
    this.#passing = new Set([...PASSING, ...alsoPassing]);
    this.#onTrouble = onTrouble;
  }

  /** From now on no fault is waited for. */
  giveUp(): void {
    this.#closing.abort();
  }

  /** Throws `EVENTS_FAILED` when it cannot be done, now and ever after. */
  async writeAll(bytes: Uint8Array, write: Write): Promise<void> {
    let offset = 0;
    while (offset < bytes.length) offset += await this.attempt(() => write(bytes, offset));
  }

  /** `step`, until it succeeds. */
  async attempt<T>(step: () => Promise<T>): Promise<T> {
    for (;;) {
      if (this.broken !== null) throw this.broken;
      try {
        const result = await step();
        this.failing = false;
        return result;
      } catch (error) {
        await this.#outlast(error);
      }
    }
  }

  async #outlast(error: unknown): Promise<void> {
    const code = errorCode(error);
    const fault = new GatewayError('EVENTS_FAILED', `${this.#name} cannot be written: ${code}`, {
      cause: error,
    });
    if (!this.#passing.has(code) || this.#closing.signal.aborted) {
      this.broken = fault;
      throw fault;
    }
    if (code !== 'EAGAIN' && !this.failing) {
      this.failing = true;
      this.#onTrouble(fault);
    }
    await delay(code === 'EAGAIN' ? PIPE_RETRY_MS : RETRY_MS, undefined, {
      signal: this.#closing.signal,
    }).catch(() => {
      // Aborted: the next attempt is the last one, and says so itself.
    });
  }
}
