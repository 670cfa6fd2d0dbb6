/**
 * One reader of the live stream, without a store: a bounded queue between the bus and whoever iterates.
 *
 * Pure. The bus only pushes; a reader that never reads costs one full queue, and what it lost is told to all.
 */
import type { Event } from './event.js';
import { EventQueue, type Loss, type QueueLimits } from './queue.js';

const LIMITS: QueueLimits = { events: 16_384, bytes: 16 * 1024 * 1024 };

const BATCH_EVENTS = 256;

export class LiveReader {
  readonly #queue: EventQueue;
  readonly #mark: (loss: Loss) => void;
  #wake: (() => void) | null = null;
  #ended = false;

  constructor(mark: (loss: Loss) => void, limits: QueueLimits = LIMITS) {
    this.#queue = new EventQueue(limits);
    this.#mark = mark;
  }

  get dropped(): number {
    return this.#queue.lost;
  }

  push(event: Event): void {
    this.#queue.push(event);
    this.#wake?.();
  }

  /** Nothing more will come; what waits is still read. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *read(signal: AbortSignal | undefined): AsyncGenerator<readonly Event[]> {
    const onAbort = (): void => this.#wake?.();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      while (signal?.aborted !== true) {
        const batch = this.#queue.take(BATCH_EVENTS);
        if (batch.length > 0) yield batch;
        else if (this.#ended) return;
        else await this.#next();
        const loss = this.#ended ? null : this.#queue.takeLoss();
        if (loss !== null) this.#mark(loss);
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #next(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }
}
