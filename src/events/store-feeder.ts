/**
 * A sink that is fed from the store (`whenFull: 'spool'`): what it cannot take now stays there, over restarts too.
 *
 * Pure of I/O: it awaits what store and sink do. At least once: after a crash the sink gets again what it had not
 * said that it was done with, and drops what it has seen by `id`.
 */
import { errorCode } from '../core/errors.js';
import type { Event } from './event.js';
import type { Sink } from './feeder.js';
import type { Bookmark, EventStore } from './store.js';

/** Batches between two notes of how far the sink is, while it is behind. */
const NOTE_EVERY = 16;

export interface StoreFeederOptions {
  readonly sink: Sink;
  readonly store: EventStore;
  /** Says that a sink will never see events: how many, and a sentence. */
  readonly onLoss: (sink: string, count: number, what: string) => void;
  readonly onTrouble: (sink: string, error: unknown) => void;
}

export class StoreFeeder {
  readonly #options: StoreFeederOptions;
  readonly #bookmark: Bookmark;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  /** The last event that the sink is done with. */
  #settled: string | null = null;
  #noted: string | null = null;
  /** It says itself when it is done: `write` only hands over. */
  readonly #tells: boolean;
  #read = 0;
  dropped = 0;
  failures = 0;
  readonly blocked = false;

  constructor(options: StoreFeederOptions) {
    this.#options = options;
    const { sink, store } = options;
    this.#bookmark = store.bookmark(sink.name);
    this.#tells = sink.attach !== undefined;
    sink.attach?.({
      lost: (events, error) => {
        this.#lose(events.length, error);
        this.#settled = events.at(-1)?.id ?? this.#settled;
      },
      delivered: events => {
        this.#settled = events.at(-1)?.id ?? this.#settled;
      },
    });
    this.#done = this.#run();
  }

  get name(): string {
    return this.#options.sink.name;
  }

  /** Not held by us: on disk. */
  get queued(): number {
    return 0;
  }

  /** The store is closed: ends when all of it was handed over, or `signal` fires. */
  async close(signal: AbortSignal | undefined): Promise<void> {
    const { sink } = this.#options;
    const stop = (): void => this.#stop.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      this.#stop.signal.addEventListener('abort', () => sink.giveUp?.(), { once: true });
      if (this.#stop.signal.aborted) sink.giveUp?.();
      await this.#done;
      await sink.close?.(signal);
    } finally {
      signal?.removeEventListener('abort', stop);
      await this.#note();
    }
  }

  async #run(): Promise<void> {
    const { onTrouble } = this.#options;
    let from = await this.#place();
    while (!this.#stop.signal.aborted) {
      try {
        return await this.#carry(from);
      } catch (error) {
        if (errorCode(error) !== 'CURSOR_UNKNOWN') {
          this.failures += 1;
          return onTrouble(this.name, error);
        }
        this.#options.onLoss(this.name, 0, 'the spool does not keep any more what it had not delivered');
        from = 'start';
      }
    }
  }

  /** Noted at once, so that a run in which nothing could be delivered is not passed over by the next. */
  async #place(): Promise<string> {
    const { opening } = this.#options.store;
    try {
      const known = await this.#bookmark.load();
      if (known !== null) return known;
      await this.#bookmark.save(opening);
    } catch (error) {
      this.#options.onTrouble(this.name, error);
    }
    return opening;
  }

  async #carry(from: string): Promise<void> {
    const { sink, store } = this.#options;
    for await (const batch of store.read({ from, signal: this.#stop.signal })) {
      // What is not handed over now stays in the store for the next run.
      if (this.#stop.signal.aborted) return;
      await this.#hand(sink, batch);
      this.#read += 1;
      if (this.#read % NOTE_EVERY === 0 || batch.length < NOTE_EVERY) await this.#note();
    }
  }

  async #hand(sink: Sink, batch: readonly Event[]): Promise<void> {
    try {
      await (sink.giveUp === undefined ? this.#untilStopped(sink.write(batch)) : sink.write(batch));
    } catch (error) {
      // Given up is not lost: it stands in the store.
      if (this.#stop.signal.aborted) return;
      this.#lose(batch.length, error);
    }
    if (this.#stop.signal.aborted && sink.giveUp === undefined) return;
    if (!this.#tells) this.#settled = batch.at(-1)?.id ?? this.#settled;
  }

  /** A write that nobody can end is left alone, so that the store's file is closed. */
  #untilStopped(written: Promise<void> | void): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = this.#stop;
      const stop = (): void => resolve();
      signal.addEventListener('abort', stop, { once: true });
      Promise.resolve(written)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', stop));
    });
  }

  #lose(count: number, error: unknown): void {
    this.dropped += count;
    this.failures += 1;
    this.#options.onTrouble(this.name, error);
    this.#options.onLoss(this.name, count, 'they were not delivered');
  }

  async #note(): Promise<void> {
    const settled = this.#settled;
    if (settled === null || settled === this.#noted) return;
    try {
      await this.#bookmark.save(settled);
      this.#noted = settled;
    } catch (error) {
      // What was delivered may come again after a restart: that is allowed.
      this.#options.onTrouble(this.name, error);
    }
  }
}
