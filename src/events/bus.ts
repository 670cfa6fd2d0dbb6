/**
 * The stream of evidence: numbers every event, takes secrets out of it, and hands it to sinks.
 *
 * `emit` never throws and never waits. Each sink has its own bounded queue, so that one that is slow, full or broken
 * costs the others nothing; what it never saw is counted in a `gateway.dropped` event. Time comes from the caller.
 */
import type { Clock } from '../core/clock.js';
import { mapText } from './encode.js';
import type { Emit, Event, EventBody } from './event.js';
import { Feeder, type Sink } from './feeder.js';
import { FloodGate } from './flood.js';
import type { Loss } from './queue.js';

export interface EventCounts {
  readonly emitted: number;
  /** Summed over sinks: events that a full queue or a failed write lost. */
  readonly dropped: number;
  /** Batches that a sink or a listener refused with an error. */
  readonly failures: number;
}

export interface EventBus {
  readonly emit: Emit;
  /** Calls `listener` with every event from now on, soon after it was emitted; the result ends that. */
  subscribe(listener: (event: Event) => void): () => void;
  /** A sink that said `block` is full or failing: nothing more can be put on record there. */
  readonly blocked: boolean;
  readonly counts: EventCounts;
  /** Hands over what waits, then closes the sinks. Events emitted later are ignored. `signal` ends the waiting. */
  close(signal?: AbortSignal): Promise<void>;
}

export interface BusOptions {
  readonly clock: Clock;
  /** Runs over every string of every event, so that no secret's value stands in one. */
  readonly redact?: (text: string) => string;
  readonly sinks?: readonly Sink[];
  /** Refusals of one sandbox that are listed one by one, per second; the rest are counted. */
  readonly refusalsPerSecond?: number;
  /** Told once for each run of failures of a sink. */
  readonly onTrouble?: (sink: string, error: unknown) => void;
}

const REFUSALS_PER_SECOND = 2_000;

export function createBus(options: BusOptions): EventBus {
  const { clock, redact, sinks = [], onTrouble } = options;
  const gate = new FloodGate(options.refusalsPerSecond ?? REFUSALS_PER_SECOND);
  let seq = 0;
  let closed = false;
  const trouble = onTrouble ?? (() => undefined);
  const feed = (sink: Sink): Feeder => new Feeder(sink, (name, loss) => record(dropped(name, loss)), trouble);
  const feeders = new Set(sinks.map(feed));

  function emit(body: EventBody): void {
    if (closed) return;
    for (const told of gate.pass(body, clock.monotonic())) record(told);
  }

  function record(body: EventBody): void {
    const raw: Event = { ...body, seq: ++seq, timestamp: clock.now() };
    // Redacted here, whole: a sink that cuts a string first would leave half a value.
    const event = redact ? redactEvent(raw, redact) : raw;
    for (const feeder of feeders) feeder.push(event);
  }

  function subscribe(listener: (event: Event) => void): () => void {
    let active = true;
    const write = (events: readonly Event[]): void => {
      for (const event of events) {
        try {
          if (active) listener(event);
        } catch (error) {
          trouble('listener', error);
        }
      }
    };
    const feeder = feed({ name: 'listener', whenFull: 'drop-and-mark', write });
    feeders.add(feeder);
    return () => {
      active = false;
      feeders.delete(feeder);
    };
  }

  return {
    emit,
    subscribe,
    get blocked() {
      return [...feeders].some(feeder => feeder.blocked);
    },
    get counts() {
      const total = { emitted: seq, dropped: 0, failures: 0 };
      for (const feeder of feeders) {
        total.dropped += feeder.dropped;
        total.failures += feeder.failures;
      }
      return total;
    },
    async close(signal) {
      for (const told of gate.drain()) record(told);
      // Losses are marked until the queues are empty, and a mark is an event for every sink: hence rounds.
      while (!signal?.aborted && [...feeders].some(feeder => feeder.running !== null)) {
        await settled(
          [...feeders].map(feeder => feeder.running),
          signal,
        );
      }
      closed = true;
      await settled([...feeders].map(feeder => feeder.close(signal)));
    },
  };
}

function redactEvent(event: Event, redact: (text: string) => string): Event {
  return mapText(event, text => {
    try {
      return redact(text);
    } catch {
      // Nobody can be told why without printing what could not be redacted.
      return '[withheld]';
    }
  });
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
async function settled(work: readonly (Promise<void> | null)[], signal?: AbortSignal): Promise<void> {
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
