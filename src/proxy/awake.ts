/**
 * Keeps the event loop awake for a moment after bytes have come, where the next ones have lately come as soon (shell:
 * the loop's turns).
 *
 * To be woken on an idle processor costs more than most requests do, on a virtual one several times as much. Kernels
 * poll before they halt for the same reason, and stop where it is in vain, as this does: an upstream that takes
 * milliseconds to answer never keeps the loop turning.
 */
import { availableParallelism } from 'node:os';
import { type Clock, systemClock } from '../core/clock.js';

/** For so long the loop turns instead of sleeping, in milliseconds: what a wake-up costs, and a fast answer takes. */
const AWAKE_MS = 0.25;
/** Bytes that came so soon count for the next ones; those that did not count for several. */
const MOST_TRUST = 8;
const DISAPPOINTMENT = 4;
/** A turn without work takes microseconds: one that took so long gave the processor to somebody who wanted it. */
const LONG_TURN_MS = 0.1;
/** So long the loop sleeps as it would, in milliseconds, where others want the processor. */
const YIELD_MS = 50;

export class Vigil {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #nextTurn: (turn: () => void) => void;
  #trust = 0;
  #lastAt = Number.NEGATIVE_INFINITY;
  #turnedAt = 0;
  #yieldsUntil = Number.NEGATIVE_INFINITY;
  #isTurning = false;

  constructor(clock: Pick<Clock, 'monotonic'>, nextTurn: (turn: () => void) => void) {
    this.#clock = clock;
    this.#nextTurn = nextTurn;
  }

  /** Bytes have come. */
  noteBytes(): void {
    const now = this.#clock.monotonic();
    const cameSoon = now - this.#lastAt < AWAKE_MS;
    this.#lastAt = now;
    this.#trust = cameSoon
      ? Math.min(this.#trust + 1, MOST_TRUST)
      : Math.max(this.#trust - DISAPPOINTMENT, 0);
    this.#turnedAt = now;
    if (this.#isTurning || this.#trust === 0 || now < this.#yieldsUntil) return;
    this.#isTurning = true;
    this.#nextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    const now = this.#clock.monotonic();
    // Nothing has come since the last turn, so nothing of ours took this time.
    const wasIdle = this.#turnedAt > this.#lastAt;
    if (wasIdle && now - this.#turnedAt > LONG_TURN_MS) this.#yieldsUntil = now + YIELD_MS;
    this.#turnedAt = now;
    this.#isTurning = now - this.#lastAt < AWAKE_MS && now >= this.#yieldsUntil;
    if (this.#isTurning) this.#nextTurn(this.#turn);
  };
}

/** One for the process, as its event loop is. */
const vigil = new Vigil(systemClock, setImmediate);

/** With one processor, whoever is waited for could not run meanwhile. */
const mayTurn = availableParallelism() > 1;

/** Bytes have come from a sandbox or an upstream. */
export function stayAwake(): void {
  if (mayTurn) vigil.noteBytes();
}
