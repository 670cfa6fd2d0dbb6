/** Time that passes when somebody waits, and a peer that is down as long as a test says. */
import type { Clock } from '../../src/core/clock.js';
import { err, ok, type Result } from '../../src/core/result.js';
import type { Event } from '../../src/events/event.js';
import type { DeliveryFault, Transport } from '../../src/sinks/delivery.js';

export class FakeTime implements Clock {
  readonly pauses: number[] = [];
  #ms = 0;
  #held: Promise<void> | null = null;
  #release: () => void = () => undefined;

  now(): number {
    return 1_700_000_000_000 + this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  /** Passes at once, unless time is held. */
  readonly pause = async (ms: number): Promise<void> => {
    this.pauses.push(ms);
    if (this.#held === null) this.#ms += ms;
    await (this.#held ?? new Promise(resolve => setImmediate(resolve)));
    if (this.#held !== null) this.#ms += ms;
  };

  hold(): void {
    this.#held = new Promise(resolve => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#release();
  }
}

export class PeerTransport implements Transport {
  readonly batches: (readonly Event[])[] = [];
  readonly #time: FakeTime;
  #downUntil = 0;
  #fault: Partial<DeliveryFault> = {};
  #next: (() => Promise<Result<void, DeliveryFault>>) | null = null;
  #hangs = false;

  constructor(time: FakeTime) {
    this.#time = time;
  }

  get delivered(): readonly Event[] {
    return this.batches.flat();
  }

  downUntil(ms: number, fault: Partial<DeliveryFault> = {}): void {
    this.#downUntil = ms;
    this.#fault = fault;
  }

  refuseOnce(): void {
    this.#next = async () => err({ message: 'it does not like it', final: true });
  }

  throwOnce(error: unknown): void {
    this.#next = async () => {
      throw error;
    };
  }

  hang(): void {
    this.#hangs = true;
  }

  async until(many: number): Promise<void> {
    while (this.delivered.length < many) await new Promise(resolve => setImmediate(resolve));
  }

  async deliver(batch: readonly Event[], signal: AbortSignal): Promise<Result<void, DeliveryFault>> {
    const next = this.#next;
    this.#next = null;
    if (next !== null) return await next();
    if (this.#hangs) {
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      return err({ message: 'it hung', final: false });
    }
    if (this.#time.monotonic() < this.#downUntil)
      return err({ message: 'it is down', final: false, ...this.#fault });
    this.batches.push(batch);
    return ok(undefined);
  }
}
