/**
 * A sink that is fed from the store (`whenFull: 'spool'`): what it cannot take now stays there, over restarts too.
 *
 * Pure of I/O: it awaits what store and sink do. At least once: after a crash the sink gets again what it had not
 * said that it was done with, and drops what it has seen by `id`.
 */
import { errorCode } from '../core/errors.js';
import type { Event } from './event.js';
import type { DeliveryCounts, Sink } from './feeder.js';
import type { Bookmark, EventStore, Mark } from './store.js';

/** Batches between two notes of how far the sink is, while it is behind. */
const NOTE_EVERY = 16;

export interface StoreFeederOptions {
  readonly sink: Sink;
  readonly store: EventStore;
  /** Says that a sink will never see events: how many, and a sentence. */
  readonly onLoss: (sink: string, count: number, what: string) => void;
  readonly onTrouble: (sink: string, error: unknown) => void;
}

interface Held {
  readonly event: Event;
  readonly count: number | null;
}

export class StoreFeeder {
  readonly #options: StoreFeederOptions;
  readonly #bookmark: Bookmark;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  /** Behind the last event that the sink is done with. */
  #settled: Mark | null = null;
  #noted: Mark | null = null;
  /** It says itself when it is done: `write` only hands over. */
  readonly #tells: boolean;
  /** Handed over, and not settled. */
  #held: Held[] = [];
  /** Events that the store ever took up to what was read last; null: not known. */
  #count: number | null = null;
  #batches = 0;
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
        this.#settle(events.at(-1));
      },
      delivered: events => this.#settle(events.at(-1)),
      passed: event => this.#settle(event),
    });
    this.#done = this.#run();
  }

  get name(): string {
    return this.#options.sink.name;
  }

  get delivery(): DeliveryCounts | null {
    return this.#options.sink.counts ?? null;
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
    const place = await this.#place();
    this.#count = place.count;
    let { from } = place;
    while (!this.#stop.signal.aborted) {
      try {
        return await this.#carry(from);
      } catch (error) {
        if (errorCode(error) !== 'CURSOR_UNKNOWN') {
          this.failures += 1;
          return onTrouble(this.name, error);
        }
        this.#missed();
        from = 'start';
      }
    }
  }

  /** The store took away what would have come next. */
  #missed(): void {
    const { removed } = this.#options.store;
    const count = this.#count === null ? 0 : Math.max(0, removed - this.#count);
    this.#count = removed;
    this.dropped += count;
    this.#options.onLoss(this.name, count, 'the spool does not keep any more what it had not delivered');
  }

  /** Noted at once, so that a run in which nothing could be delivered is not passed over by the next. */
  async #place(): Promise<Mark> {
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
      for (const event of batch) this.#held.push({ event, count: this.#next() });
      await this.#hand(sink, batch);
      this.#batches += 1;
      if (this.#batches % NOTE_EVERY === 0 || batch.length < NOTE_EVERY) await this.#note();
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
    if (!this.#tells) this.#settle(batch.at(-1));
  }

  #next(): number | null {
    if (this.#count !== null) this.#count += 1;
    return this.#count;
  }

  #settle(event: Event | undefined): void {
    const at = this.#held.findIndex(held => held.event === event);
    const held = this.#held[at];
    if (held === undefined) return;
    this.#settled = { from: held.event.id, count: held.count };
    this.#held = this.#held.slice(at + 1);
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
