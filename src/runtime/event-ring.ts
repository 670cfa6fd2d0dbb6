/**
 * The last events of a sandbox, for readers that come and go. Pure.
 *
 * Memory is bounded by the ring, not by the slowest reader: one that falls behind is told what it missed.
 */
import type { Event } from '../events/event.js';

const KEPT = 4_096;

export class EventRing {
  readonly #events: Event[] = [];
  #closed = false;
  #wake: () => void = () => {};
  #change: Promise<void> = Promise.resolve();

  constructor() {
    this.#arm();
  }

  add(event: Event): void {
    this.#events.push(event);
    if (this.#events.length > KEPT) this.#events.shift();
    this.#signal();
  }

  /** Readers end once they have read all. */
  close(): void {
    this.#closed = true;
    this.#signal();
  }

  /** Every event after `seq`, those that are kept and those to come. */
  async *after(seq: number, signal: AbortSignal): AsyncGenerator<Event> {
    let last = seq;
    const aborted = new Promise<void>(resolve =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    while (!signal.aborted) {
      const change = this.#change;
      const oldest = this.#events[0];
      if (oldest !== undefined && oldest.seq > last + 1 && last > seq) yield missed(last + 1, oldest);
      const next = this.#next(last);
      if (next !== undefined) {
        last = next.seq;
        yield next;
      } else if (this.#closed) return;
      else await Promise.race([change, aborted]);
    }
  }

  get lastSeq(): number {
    return this.#events.at(-1)?.seq ?? 0;
  }

  /** Events have no gaps in `seq`: the place of the next one is known. */
  #next(last: number): Event | undefined {
    const first = this.#events[0]?.seq ?? 0;
    return this.#events[Math.max(0, last + 1 - first)];
  }

  #arm(): void {
    this.#change = new Promise(resolve => {
      this.#wake = resolve;
    });
  }

  #signal(): void {
    const wake = this.#wake;
    this.#arm();
    wake();
  }
}

function missed(from: number, oldest: Event): Event {
  const count = oldest.seq - from;
  return {
    version: oldest.version,
    id: `${oldest.gateway_id}-${from}`,
    gateway_id: oldest.gateway_id,
    type: 'gateway.dropped',
    timestamp: oldest.timestamp,
    seq: from,
    sandbox: oldest.sandbox,
    gateway: {
      message: `this reader was too slow for ${count} events`,
      detail: [`seq ${from} to ${oldest.seq - 1}`],
    },
  };
}
