/**
 * What every sink that can fail shares: filter, batches, attempts with back-off, and a place for what could not be
 * delivered.
 *
 * A shell: timers. At most two batches are held; while one is on its way the bus's own queue holds the rest. An event is
 * delivered, put aside in the dead-letter file, or reported lost: there is no fourth way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../core/clock.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import type { Sink, SinkKeeper } from '../events/feeder.js';
import type { EventFilter } from '../events/filter.js';
import { eventBytes } from '../events/queue.js';
import { isWeighty } from '../events/weight.js';
import type { DeadLetters } from './dead-letters.js';

export interface DeliveryFault {
  /** One sentence, without a credential in it. */
  readonly message: string;
  /** The batch itself was refused: the same one will be again. */
  readonly final: boolean;
  /** How long the other side asks us to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** Carries a batch to the other side. */
export interface Transport {
  /**
   * One attempt: ok says that the other side has taken responsibility for the whole batch. A batch may come again
   * after a fault, with the same events. `signal` ends the attempt.
   */
  deliver(batch: readonly Event[], signal: AbortSignal): Promise<Result<void, DeliveryFault>>;
  close?(): Promise<void>;
}

export interface DeliverySettings {
  readonly name: string;
  readonly whenFull: Sink['whenFull'];
  readonly filter: EventFilter | null;
  readonly batchEvents: number;
  readonly waitMs: number;
  readonly firstPauseMs: number;
  readonly mostPauseMs: number;
  /** Null: never. */
  readonly giveUpMs: number | null;
  /** Of one attempt. */
  readonly timeoutMs: number;
}

export interface DeliveryOptions {
  readonly settings: DeliverySettings;
  readonly transport: Transport;
  readonly deadLetters: DeadLetters | null;
  readonly clock: Clock;
  /** Told once for each run of failures, and when events are put aside. */
  readonly onTrouble: (error: GatewayError) => void;
  /** For tests: waits, or ends early when `signal` fires. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** For tests: from 0 to below 1. */
  readonly random?: () => number;
}

/** Estimated bytes of a batch. */
const BATCH_BYTES = 1024 * 1024;

export class Delivery implements Sink {
  readonly name: string;
  readonly whenFull: Sink['whenFull'];
  readonly counts = { delivered: 0, attempts: 0, faults: 0, deadLettered: 0 };
  failing = false;
  readonly #options: DeliveryOptions;
  readonly #givenUp = new AbortController();
  #keeper: SinkKeeper | null = null;
  #pending: Event[] = [];
  #pendingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  /** The batch that is on its way; null while there is none. */
  #shipping: Promise<void> | null = null;
  /** The last event that was taken, wanted or not. */
  #seen: Event | null = null;

  constructor(options: DeliveryOptions) {
    this.name = options.settings.name;
    this.whenFull = options.settings.whenFull;
    this.#options = options;
  }

  attach(keeper: SinkKeeper): void {
    this.#keeper = keeper;
  }

  /** Resolves when there is room for more, not when `events` are delivered. */
  async write(events: readonly Event[]): Promise<void> {
    const { filter, batchEvents, waitMs } = this.#options.settings;
    let urgent = false;
    for (const event of events) {
      this.#seen = event;
      if (filter !== null && !filter(event)) continue;
      this.#pending.push(event);
      this.#pendingBytes += eventBytes(event);
      urgent ||= isWeighty(event);
      while (this.#pending.length >= batchEvents || this.#pendingBytes >= BATCH_BYTES) await this.#ship();
    }
    if (this.#pending.length === 0) return this.#tellPassed();
    if (urgent) this.#shipSoon(0);
    else this.#shipSoon(waitMs);
  }

  /** Nobody waits any longer: what is held goes to the dead letters, and so does all that is written from now on. */
  giveUp(): void {
    this.#givenUp.abort();
  }

  async close(signal?: AbortSignal): Promise<void> {
    const giveUp = (): void => this.giveUp();
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      while (this.#pending.length > 0) await this.#ship();
      await this.#shipping;
    } finally {
      signal?.removeEventListener('abort', giveUp);
      await this.#options.transport.close?.();
      await this.#options.deadLetters?.close();
    }
  }

  #shipSoon(ms: number): void {
    // While a batch is on its way, what waits goes with the next: the end of this one sees to it.
    if (this.#shipping !== null) return;
    if (ms > 0) {
      this.#timer ??= setTimeout(() => this.#shipSoon(0), ms).unref();
      return;
    }
    void this.#ship();
  }

  /** Waits for the batch that is on its way, and sends one more if there is something to send. Never rejects. */
  async #ship(): Promise<void> {
    if (this.#shipping !== null) return await this.#shipping;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const batch = this.#pending.splice(0, this.#options.settings.batchEvents);
    this.#pendingBytes = this.#pending.reduce((sum, event) => sum + eventBytes(event), 0);
    if (batch.length === 0) return;
    this.#shipping = this.#deliver(batch).finally(() => {
      this.#shipping = null;
      if (this.#pending.length > 0) this.#shipSoon(this.#options.settings.waitMs);
      else this.#tellPassed();
    });
    await this.#shipping;
  }

  /** What came behind the last batch and was not wanted needs no delivery. What was given up may stand in the spool. */
  #tellPassed(): void {
    if (this.#shipping !== null || this.#givenUp.signal.aborted || this.#seen === null) return;
    this.#keeper?.passed(this.#seen);
  }

  async #deliver(batch: readonly Event[]): Promise<void> {
    const { clock, settings } = this.#options;
    const started = clock.monotonic();
    for (let attempt = 0; ; attempt++) {
      const fault = await this.#attempt(batch);
      if (fault === null) return this.#succeed(batch);
      this.#tell(fault);
      const late = settings.giveUpMs !== null && clock.monotonic() - started >= settings.giveUpMs;
      if (fault.final || late || this.#givenUp.signal.aborted) return await this.#putAside(batch, fault);
      await this.#pause(pauseOf(settings, attempt, fault.retryAfterMs, this.#options.random ?? Math.random));
    }
  }

  async #attempt(batch: readonly Event[]): Promise<DeliveryFault | null> {
    if (this.#givenUp.signal.aborted) return { message: 'there is no time left', final: false };
    this.counts.attempts += 1;
    const deadline = AbortSignal.timeout(this.#options.settings.timeoutMs);
    const signal = AbortSignal.any([deadline, this.#givenUp.signal]);
    try {
      const done = await this.#options.transport.deliver(batch, signal);
      if (done.ok) return null;
      const { error } = done;
      return deadline.aborted ? { ...error, message: 'it did not answer in time' } : error;
    } catch (error) {
      return { message: `it failed (${errorCode(error)})`, final: false };
    }
  }

  #succeed(batch: readonly Event[]): void {
    this.failing = false;
    this.counts.delivered += batch.length;
    this.#keeper?.delivered(batch);
  }

  #tell({ message }: DeliveryFault): void {
    this.counts.faults += 1;
    if (this.failing) return;
    this.failing = true;
    this.#options.onTrouble(new GatewayError('EVENTS_FAILED', `${this.name}: ${message}`));
  }

  async #putAside(batch: readonly Event[], fault: DeliveryFault): Promise<void> {
    const { deadLetters, onTrouble } = this.#options;
    // What the spool keeps is delivered after the next start: nobody has to put it aside for want of time.
    if (this.whenFull === 'spool' && !fault.final && this.#givenUp.signal.aborted) return;
    const why = new GatewayError('EVENTS_FAILED', `${this.name}: ${fault.message}`);
    if (deadLetters === null) return this.#keeper?.lost(batch, why);
    try {
      await deadLetters.write(batch);
      this.counts.deadLettered += batch.length;
      // They are on record, though not where they were meant to be.
      this.failing = false;
      this.#keeper?.delivered(batch);
    } catch (error) {
      const cause = error instanceof GatewayError ? error : why;
      onTrouble(cause);
      this.#keeper?.lost(batch, cause);
    }
  }

  async #pause(ms: number): Promise<void> {
    const { pause = waitFor } = this.#options;
    await pause(ms, this.#givenUp.signal);
  }
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    // Given up: the next attempt says so.
  }
}

/** Half of it fixed, half of it by chance, so that those that failed together do not come back together. */
function pauseOf(
  { firstPauseMs, mostPauseMs }: DeliverySettings,
  attempt: number,
  asked: number | undefined,
  random: () => number,
): number {
  const most = Math.min(mostPauseMs, firstPauseMs * 2 ** Math.min(attempt, 30));
  const ours = most / 2 + (most / 2) * random();
  return asked === undefined ? ours : Math.min(Math.max(asked, ours), mostPauseMs);
}
