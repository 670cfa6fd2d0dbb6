/**
 * The stream of evidence: numbers every event, takes secrets out of it, and hands it to sinks.
 *
 * `emit` never throws and never waits. Each sink has its own bounded queue, so that one that is slow, full or broken
 * costs the others nothing; what it never saw is counted in a `gateway.dropped` event. Time comes from the caller.
 */
import type { Clock } from '../core/clock.js';
import { type Emit, EVENT_VERSION, type Event, type EventBody } from './event.js';
import { Feeder, type Sink } from './feeder.js';
import { FloodGate } from './flood.js';
import type { Loss } from './queue.js';
import { type RedactText, redactEvent } from './redact.js';

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
}

export interface EventBus {
  readonly emit: Emit;
  /** Calls `listener` with every event from now on, soon after it was emitted; the result ends that. */
  subscribe(listener: (event: Event) => void): () => void;
  /** A sink that said `block` is full or failing: nothing more can be put on record there. */
  readonly blocked: boolean;
  readonly counts: EventCounts;
  /** Of the sinks that were there from the beginning; listeners are not among them. */
  readonly sinks: readonly SinkState[];
  /** Hands over what waits, then closes the sinks. Events emitted later are ignored. `signal` ends the waiting. */
  close(signal?: AbortSignal): Promise<void>;
}

export interface BusOptions {
  /** What every event carries as `gateway_id`. Default: `local`. */
  readonly gatewayId?: string;
  readonly clock: Clock;
  /** Runs over every string of every event, so that no secret's value stands in one. */
  readonly redact?: RedactText;
  readonly sinks?: readonly Sink[];
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
  readonly #clock: Clock;
  readonly #redact: RedactText | undefined;
  readonly #trouble: (sink: string, error: unknown) => void;
  readonly #gate: FloodGate;
  readonly #feeders: Set<Feeder>;
  readonly #lasting: readonly Feeder[];
  #seq = 0;
  #closed = false;

  constructor(options: BusOptions) {
    const { clock, redact, sinks = [], onTrouble, refusalsPerSecond, gatewayId = 'local' } = options;
    this.#id = gatewayId;
    this.#clock = clock;
    this.#redact = redact;
    this.#trouble = onTrouble ?? (() => undefined);
    this.#gate = new FloodGate(refusalsPerSecond ?? REFUSALS_PER_SECOND);
    this.#lasting = sinks.map(sink => this.#feed(sink));
    this.#feeders = new Set(this.#lasting);
  }

  readonly emit: Emit = body => {
    if (this.#closed) return;
    for (const told of this.#gate.pass(body, this.#clock.monotonic())) this.#record(told);
  };

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

  get blocked(): boolean {
    for (const feeder of this.#feeders) if (feeder.blocked) return true;
    return false;
  }

  get counts(): EventCounts {
    const total = { emitted: this.#seq, dropped: 0, failures: 0 };
    for (const feeder of this.#feeders) {
      total.dropped += feeder.dropped;
      total.failures += feeder.failures;
    }
    return total;
  }

  get sinks(): readonly SinkState[] {
    return this.#lasting.map(({ name, queued, dropped, failures, blocked }) => {
      return { name, queued, dropped, failures, blocked };
    });
  }

  async close(signal?: AbortSignal): Promise<void> {
    for (const told of this.#gate.drain()) this.#record(told);
    // Losses are marked until the queues are empty, and a mark is an event for every sink: hence rounds.
    for (let running = this.#running(); running.length > 0 && !signal?.aborted; running = this.#running()) {
      await settled(running, signal);
    }
    this.#closed = true;
    await settled([...this.#feeders].map(feeder => feeder.close(signal)));
  }

  #record(body: EventBody): void {
    const raw = numbered(body, this.#id, ++this.#seq, this.#clock.now());
    // Redacted here, whole: a sink that cuts a string first would leave half a value.
    const event = this.#redact ? redactEvent(raw, this.#redact) : raw;
    for (const feeder of this.#feeders) feeder.push(event);
  }

  #feed(sink: Sink): Feeder {
    return new Feeder(sink, (name, loss) => this.#record(dropped(name, loss)), this.#trouble);
  }

  #running(): Promise<void>[] {
    return [...this.#feeders].flatMap(feeder => feeder.running ?? []);
  }
}

/** Spelled out, because a spread of an object of unknown shape is slow and this runs for every request. */
function numbered(body: EventBody, gateway_id: string, seq: number, timestamp: number): Event {
  const { type, sandbox, network, exec, file, gateway } = body;
  const version = EVENT_VERSION;
  const id = `${gateway_id}-${seq}`;
  if (network !== undefined && (exec ?? file ?? gateway) === undefined) {
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
