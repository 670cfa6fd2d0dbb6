/**
 * One sink, its queue, and the loop that carries from one to the other.
 *
 * Pure of I/O: it awaits what the sink does and keeps no time.
 */
import type { Endpoint } from '../core/address.js';
import type { Event } from './event.js';
import { EventQueue, type Loss, type QueueLimits } from './queue.js';
import type { EventStore } from './store.js';

/** What a sink that delivers in its own time tells of what it took. */
export interface SinkKeeper {
  /** These events, taken before, will not be delivered. */
  lost(events: readonly Event[], error: unknown): void;
  /** These are where they were to go: what was lost before can be told now. */
  delivered(events: readonly Event[]): void;
  /** Nothing is held any more: what it took up to this event was delivered, told lost, or not wanted. */
  passed(event: Event): void;
}

/** What became of events at a sink that sends them somewhere. */
export interface DeliveryCounts {
  /** Events for which the other side has taken responsibility. */
  readonly delivered: number;
  /** Batches sent, tried again ones included. */
  readonly attempts: number;
  /** Attempts that came to nothing. */
  readonly faults: number;
  /** Events in the dead-letter file. */
  readonly deadLettered: number;
}

export interface Sink {
  /** Stands in `gateway.dropped` and in trouble reports. */
  readonly name: string;
  /**
   * `drop-and-mark`: when the queue is full, events are lost and counted.
   * `block`: the same, and from a full queue or a failed write on, `EventBus.blocked` is true, so that the gateway
   * can refuse what it could not put on record.
   * `spool`: it is fed from the store, at its own speed and over restarts, and loses what the store no longer keeps.
   */
  readonly whenFull: 'block' | 'spool' | 'drop-and-mark';
  readonly limits?: QueueLimits;
  /** Where it listens on this host: no sandbox may reach it, whatever its policy says. */
  readonly listensOn?: readonly Endpoint[];
  /** True while the sink cannot put on record what it took: with `block`, the bus is blocked. */
  readonly failing?: boolean;
  /** Of a sink that sends events somewhere. */
  readonly counts?: DeliveryCounts;
  /** Takes events in order; the next batch comes when the promise has settled. A rejection loses this batch. */
  write(events: readonly Event[]): Promise<void> | void;
  /** Called once, before the first `write`. Whoever keeps it has settled an event when it says so, not by `write`. */
  attach?(keeper: SinkKeeper): void;
  /** Called once, where the gateway keeps its events: a sink may read there what it does not hold itself. */
  useStore?(store: EventStore): void;
  /** Nobody waits any longer: a write that is pending ends soon, and so does any that still comes. */
  giveUp?(): void;
  /**
   * Everything written is on its way when this resolves, or what can be once `signal` has fired: then a write may
   * still be pending, and ends soon with an error.
   */
  close?(signal?: AbortSignal): Promise<void>;
}

const DEFAULT_LIMITS: QueueLimits = { events: 65_536, bytes: 64 * 1024 * 1024 };

const BATCH_EVENTS = 512;

const NEXT_TURN = Promise.resolve();

type Mark = (name: string, loss: Loss) => void;

type Trouble = (sink: string, error: unknown) => void;

export class Feeder {
  readonly #sink: Sink;
  readonly #queue: EventQueue;
  readonly #capacity: number;
  readonly #mark: Mark;
  readonly #onTrouble: Trouble;
  /** The loop while it runs, else null. */
  running: Promise<void> | null = null;
  failures = 0;
  #failing = false;

  constructor(sink: Sink, mark: Mark, onTrouble: Trouble) {
    const limits = sink.limits ?? DEFAULT_LIMITS;
    this.#sink = sink;
    this.#queue = new EventQueue(limits);
    this.#capacity = limits.events;
    this.#mark = mark;
    this.#onTrouble = onTrouble;
    sink.attach?.({
      lost: (events, error) => this.#fail(events, error),
      delivered: () => {
        this.#failing = false;
        this.#markLoss();
      },
      passed: () => undefined,
    });
  }

  get name(): string {
    return this.#sink.name;
  }

  /** Events that wait for the sink. */
  get queued(): number {
    return this.#queue.length;
  }

  get dropped(): number {
    return this.#queue.lost;
  }

  get delivery(): DeliveryCounts | null {
    return this.#sink.counts ?? null;
  }

  get blocked(): boolean {
    if (this.#sink.whenFull !== 'block') return false;
    return this.#failing || this.#sink.failing === true || this.#queue.length >= this.#capacity;
  }

  push(event: Event): void {
    this.#queue.push(event);
    // A turn later, so that whatever emits in a row becomes one batch and `emit` never runs a sink.
    this.running ??= NEXT_TURN.then(this.#run);
  }

  /** Comes while a write is still pending only if `signal` has fired. */
  async close(signal: AbortSignal | undefined): Promise<void> {
    if (this.running !== null && this.#sink.giveUp !== undefined) {
      this.#sink.giveUp();
      await this.running;
    }
    await this.#sink.close?.(signal);
  }

  /** Waits for a sink only where it says so: most lines are a copy and no more. */
  readonly #run = (): Promise<void> | void => {
    while (this.#queue.length > 0) {
      const batch = this.#queue.take(BATCH_EVENTS);
      try {
        const writing = this.#sink.write(batch);
        if (writing !== undefined) return this.#goOn(batch, writing);
        this.#written();
      } catch (error) {
        this.#fail(batch, error);
      }
      this.#markLoss();
    }
    this.running = null;
  };

  async #goOn(first: readonly Event[], begun: Promise<void>): Promise<void> {
    let batch = first;
    let writing: Promise<void> | void = begun;
    for (;;) {
      try {
        await writing;
        this.#written();
      } catch (error) {
        this.#fail(batch, error);
      }
      this.#markLoss();
      if (this.#queue.length === 0) break;
      batch = this.#queue.take(BATCH_EVENTS);
      writing = this.#attempt(batch);
    }
    this.running = null;
  }

  /** A sink that throws is one that rejects. */
  async #attempt(batch: readonly Event[]): Promise<void> {
    await this.#sink.write(batch);
  }

  #written(): void {
    if (this.#sink.attach === undefined) this.#failing = false;
  }

  #fail(batch: readonly Event[], error: unknown): void {
    this.failures += 1;
    this.#queue.lose(batch);
    if (!this.#failing) this.#onTrouble(this.#sink.name, error);
    this.#failing = true;
  }

  /** Says what was lost once there is room again; until then the count goes on. */
  #markLoss(): void {
    if (this.#failing || this.#queue.length * 2 > this.#capacity) return;
    const loss = this.#queue.takeLoss();
    if (loss === null) return;
    this.#mark(this.#sink.name, loss);
  }
}
