/**
 * The stream of evidence: numbers every event, takes secrets out of it, and hands it to sinks.
 *
 * `emit` never throws and never waits. Each sink has its own bounded queue, so that one that is slow, full or broken
 * costs the others nothing; what it never saw is counted in a `gateway.dropped` event. Time comes from the caller.
 */
import type { Clock } from '../core/clock.js';
import { GatewayError } from '../core/errors.js';
import { type Emit, EVENT_VERSION, type Event, type EventBody } from './event.js';
import { type DeliveryCounts, Feeder, type Sink } from './feeder.js';
import type { EventFilter } from './filter.js';
import { FloodGate } from './flood.js';
import type { Loss } from './queue.js';
import { LiveReader } from './reader.js';
import { type RedactText, redactEvent } from './redact.js';
import { SerialNames } from './serial.js';
import type { EventStore } from './store.js';
import { StoreFeeder } from './store-feeder.js';

export interface EventCounts {
  readonly emitted: number;
  /** Summed over sinks: events that a full queue or a failed write lost. */
  readonly dropped: number;
  /** Batches that a sink or a listener refused with an error. */
  readonly failures: number;
}

/** One sink as it stands. */
export interface SinkState {
  readonly name: string;
  /** Events that wait for it. */
  readonly queued: number;
  /** Events that it never saw, or took and could not deliver. */
  readonly dropped: number;
  readonly failures: number;
  readonly blocked: boolean;
  /** Null for a sink that sends nothing anywhere. */
  readonly delivery: DeliveryCounts | null;
}

export interface EventBus {
  readonly emit: Emit;
  /** Calls `listener` with every event from now on, soon after it was emitted; the result ends that. */
  subscribe(listener: (event: Event) => void): () => void;
  /**
   * Events, one by one, until `signal` fires or the bus is closed: from now on, or from where `from` says. However slow
   * the reader is, the bus never waits: with a store it reads from there, without one it has a bounded queue, and a
   * `gateway.dropped` event counts what it lost. Throws `CURSOR_UNKNOWN` where what would come next is not kept.
   */
  read(query?: EventQuery): AsyncIterable<Event>;
  /** A sink that said `block` is full or failing: nothing more can be put on record there. */
  readonly blocked: boolean;
  readonly counts: EventCounts;
  /** Of the sinks that were there from the beginning; listeners are not among them. */
  readonly sinks: readonly SinkState[];
  /** Hands over what waits, then closes the sinks. Events emitted later are ignored. `signal` ends the waiting. */
  close(signal?: AbortSignal): Promise<void>;
}

export interface EventQuery {
  /**
   * The `id` of an event: what comes after it; `start`: everything that is kept. Both need a store. Absent: from now
   * on.
   */
  readonly from?: string;
  /** Which events are wanted; `compileFilter` makes one of an expression. */
  readonly filter?: EventFilter;
  readonly signal?: AbortSignal;
}

export interface BusOptions {
  /** What every event carries as `gateway_id`. Default: `local`. */
  readonly gatewayId?: string;
  readonly clock: Clock;
  /** Runs over every string of every event, so that no secret's value stands in one. */
  readonly redact?: RedactText;
  readonly sinks?: readonly Sink[];
  /** Keeps all events: what readers and sinks that said `spool` are fed from. */
  readonly store?: EventStore;
  /** Refusals of one sandbox that are listed one by one, per second; the rest are counted. */
  readonly refusalsPerSecond?: number;
  /** Told once for each run of failures of a sink. */
  readonly onTrouble?: (sink: string, error: unknown) => void;
}

const REFUSALS_PER_SECOND = 2_000;

export function createBus(options: BusOptions): EventBus {
  return new Bus(options);
}

class Bus implements EventBus {
  readonly #id: string;
  readonly #names: SerialNames;
  readonly #clock: Clock;
  readonly #redact: RedactText | undefined;
  readonly #trouble: (sink: string, error: unknown) => void;
  readonly #gate: FloodGate;
  readonly #feeders: Set<Feeder>;
  readonly #lasting: readonly (Feeder | StoreFeeder)[];
  /** Fed from the store: they end when it does. */
  readonly #stored: readonly StoreFeeder[];
  readonly #store: { readonly store: EventStore; readonly feeder: Feeder } | null;
  readonly #readers = new Set<LiveReader>();
  #seq = 0;
  #closed = false;

  constructor(options: BusOptions) {
    const { clock, redact, sinks = [], onTrouble, refusalsPerSecond, gatewayId = 'local' } = options;
    this.#id = gatewayId;
    this.#names = new SerialNames(`${gatewayId}-`);
    this.#clock = clock;
    this.#redact = redact;
    this.#trouble = onTrouble ?? (() => undefined);
    this.#gate = new FloodGate(refusalsPerSecond ?? REFUSALS_PER_SECOND);
    const { store } = options;
    this.#store = store === undefined ? null : { store, feeder: this.#feed(store) };
    const live = sinks.filter(({ whenFull }) => whenFull !== 'spool').map(sink => this.#feed(sink));
    this.#feeders = new Set(this.#store === null ? live : [this.#store.feeder, ...live]);
    this.#stored = sinks.filter(({ whenFull }) => whenFull === 'spool').map(sink => this.#feedStored(sink));
    this.#lasting = [...this.#feeders, ...this.#stored];
    if (store !== undefined) for (const sink of sinks) sink.useStore?.(store);
    store?.tellTo(body => this.#record(body));
  }

  readonly emit: Emit = body => {
    if (this.#closed) return;
    if (this.#gate.isOpenTo(body)) this.#record(body);
    else this.#emitThrough(body);
  };

  #emitThrough(body: EventBody): void {
    for (const told of this.#gate.pass(body, this.#clock.monotonic())) this.#record(told);
  }

  subscribe(listener: (event: Event) => void): () => void {
    let active = true;
    const write = (events: readonly Event[]): void => {
      for (const event of events) {
        try {
          if (active) listener(event);
        } catch (error) {
          this.#trouble('listener', error);
        }
      }
    };
    const feeder = this.#feed({ name: 'listener', whenFull: 'drop-and-mark', write });
    this.#feeders.add(feeder);
    return () => {
      active = false;
      this.#feeders.delete(feeder);
    };
  }

  read({ from, filter, signal }: EventQuery = {}): AsyncIterable<Event> {
    const batches = this.#batches(from, signal);
    return chosen(batches, filter);
  }

  get blocked(): boolean {
    for (const feeder of this.#feeders) if (feeder.blocked) return true;
    return false;
  }

  get counts(): EventCounts {
    const total = { emitted: this.#seq, dropped: 0, failures: 0 };
    for (const feeder of [...this.#feeders, ...this.#stored]) {
      total.dropped += feeder.dropped;
      total.failures += feeder.failures;
    }
    return total;
  }

  get sinks(): readonly SinkState[] {
    return this.#lasting.map(({ name, queued, dropped, failures, blocked, delivery }) => {
      return { name, queued, dropped, failures, blocked, delivery };
    });
  }

  async close(signal?: AbortSignal): Promise<void> {
    for (const told of this.#gate.drain()) this.#record(told);
    // Losses are marked until the queues are empty, and a mark is an event for every sink: hence rounds.
    for (let running = this.#running(); running.length > 0 && !signal?.aborted; running = this.#running()) {
      await settled(running, signal);
    }
    this.#closed = true;
    for (const reader of this.#readers) reader.end();
    await settled([...this.#feeders].map(feeder => feeder.close(signal)));
    await settled(this.#stored.map(feeder => feeder.close(signal)));
  }

  /** What `from` says is settled now, not when the reader first asks. */
  #batches(from: string | undefined, signal: AbortSignal | undefined): AsyncIterable<readonly Event[]> {
    const now = `${this.#id}-${this.#seq}`;
    if (this.#store !== null) return fromStore(this.#store, from ?? now, signal);
    if (from !== undefined && from !== now) {
      const what = 'without a spool nothing is kept that an earlier event could be read from';
      throw new GatewayError('CURSOR_UNKNOWN', what);
    }
    const reader: LiveReader = new LiveReader(loss => this.#record(dropped('a reader', loss)));
    this.#readers.add(reader);
    signal?.addEventListener('abort', () => this.#readers.delete(reader), { once: true });
    return until(reader.read(signal), () => this.#readers.delete(reader));
  }

  #record(body: EventBody): void {
    const raw = numbered(body, this.#names.of(++this.#seq), this.#id, this.#seq, this.#clock.now());
    // Redacted here, whole: a sink that cuts a string first would leave half a value.
    const event = this.#redact ? redactEvent(raw, this.#redact) : raw;
    for (const feeder of this.#feeders) feeder.push(event);
    for (const reader of this.#readers) reader.push(event);
  }

  #feed(sink: Sink): Feeder {
    return new Feeder(sink, (name, loss) => this.#record(dropped(name, loss)), this.#trouble);
  }

  #feedStored(sink: Sink): StoreFeeder {
    const store = this.#store?.store;
    if (store === undefined) {
      throw new GatewayError(
        'CONFIG_INVALID',
        `${sink.name}: back-pressure 'spool' needs a spool (--spool DIR)`,
      );
    }
    return new StoreFeeder({
      sink,
      store,
      onLoss: (name, count, what) => {
        if (!this.#closed) this.#record(undelivered(name, count, what));
      },
      onTrouble: this.#trouble,
    });
  }

  #running(): Promise<void>[] {
    return [...this.#feeders].flatMap(feeder => feeder.running ?? []);
  }
}

/** Spelled out, because a spread of an object of unknown shape is slow and this runs for every request. */
function numbered(told: EventBody, id: string, gateway_id: string, seq: number, timestamp: number): Event {
  const { type, sandbox, network, exec, file, gateway } = told;
  const version = EVENT_VERSION;
  if (network !== undefined && (exec ?? file ?? told.body ?? gateway) === undefined) {
    return { version, id, type, timestamp, seq, gateway_id, sandbox, network };
  }
  return {
    version,
    id,
    type,
    timestamp,
    seq,
    gateway_id,
    sandbox,
    ...(network && { network }),
    ...(exec && { exec }),
    ...(file && { file }),
    ...(told.body && { body: told.body }),
    ...(gateway && { gateway }),
  };
}

function dropped(name: string, { allowed, denied, firstSeq, lastSeq }: Loss): EventBody {
  return {
    type: 'gateway.dropped',
    sandbox: null,
    gateway: {
      message: `${name} lost ${allowed + denied} events`,
      detail: [`allowed ${allowed}`, `denied ${denied}`, `seq ${firstSeq} to ${lastSeq}`],
    },
  };
}

function undelivered(name: string, count: number, what: string): EventBody {
  const message = count === 0 ? `${name} lost events` : `${name} lost ${count} events`;
  return { type: 'gateway.dropped', sandbox: null, gateway: { message, detail: [what] } };
}

/** What was emitted before is handed to the store first, so that a place in it can be found. */
async function* fromStore(
  { store, feeder }: { readonly store: EventStore; readonly feeder: Feeder },
  from: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly Event[]> {
  await feeder.running;
  yield* store.read({ from, ...(signal && { signal }) });
}

async function* until<T>(source: AsyncIterable<T>, ended: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    ended();
  }
}

async function* chosen(
  batches: AsyncIterable<readonly Event[]>,
  filter: EventFilter | undefined,
): AsyncGenerator<Event> {
  for await (const batch of batches) {
    for (const event of batch) if (filter === undefined || filter(event)) yield event;
  }
}

/** Waits until all have settled or `signal` fires. Never rejects. */
async function settled(work: readonly Promise<void>[], signal?: AbortSignal): Promise<void> {
  const all = Promise.allSettled(work);
  if (signal === undefined) {
    await all;
    return;
  }
  const { promise, resolve } = deferred();
  signal.addEventListener('abort', resolve, { once: true });
  if (signal.aborted) resolve();
  await Promise.race([all, promise]);
  signal.removeEventListener('abort', resolve);
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>(done => {
    resolve = done;
  });
  return { promise, resolve };
}
