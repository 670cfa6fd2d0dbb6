/**
 * Bytes a second, shared by all flows of one sandbox in turns of equal size.
 *
 * A flow that has bytes asks for a turn; turns are granted in the order of asking. Since a flow asks again only after
 * its turn, and no turn is longer than a quantum, flows that want as much as they can get each get the same. A turn
 * that was granted may leave the level below zero, and the next waits for it: over time the rate is exact, however
 * late a timer fires, as long as it is no later than what the bucket holds.
 *
 * A shell only by its timer, of which there is one.
 */
import type { Clock } from '../../core/clock.js';
import { createTokenBucket, type TokenBucket } from '../../core/token-bucket.js';

export interface Pacer {
  /** The most bytes of one turn. */
  readonly quantum: number;
  /** Calls `go` when `bytes` may pass, at the soonest before it returns. The function given back takes the turn away. */
  pass(bytes: number, go: () => void): () => void;
  /** Holds from the next turn on; what was overdrawn is forgiven. */
  changeRate(bytesPerSecond: number): void;
}

/** Runs something later; gives back how not to. */
export type Schedule = (delayMs: number, run: () => void) => () => void;

export const schedule: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, delayMs);
  return () => clearTimeout(timer);
};

/** What a pause, or a late timer, may save up. */
const BURST_SECONDS = 0.1;
const QUANTUM_SECONDS = 0.02;
const QUANTUM_BYTES = { min: 512, max: 65_536 } as const;

interface Turn {
  readonly bytes: number;
  readonly go: () => void;
}

/** `bytesPerSecond` is above zero. The first bytes find an empty bucket: the start is no burst. */
export function createPacer(bytesPerSecond: number, clock: Clock, later: Schedule = schedule): Pacer {
  const waiting = new Set<Turn>();
  let rate = rateOf(bytesPerSecond);
  let cancelTimer: (() => void) | null = null;
  let granting = false;

  const grant = (): void => {
    // `go` may ask for the next turn: that one stands in the queue when this loop comes round.
    if (granting) return;
    granting = true;
    try {
      for (const turn of waiting) {
        const nowMs = clock.monotonic();
        const waitMs = rate.bucket.waitMs(nowMs);
        if (waitMs > 0) {
          cancelTimer ??= later(Math.ceil(waitMs), onTimer);
          return;
        }
        waiting.delete(turn);
        rate.bucket.spend(turn.bytes, nowMs);
        turn.go();
      }
    } finally {
      granting = false;
    }
  };
  const stopTimer = (): void => {
    cancelTimer?.();
    cancelTimer = null;
  };
  const onTimer = (): void => {
    cancelTimer = null;
    grant();
  };

  return {
    get quantum() {
      return rate.quantum;
    },
    pass: (bytes, go) => {
      const turn = { bytes, go };
      waiting.add(turn);
      grant();
      return () => {
        waiting.delete(turn);
        if (waiting.size === 0) stopTimer();
      };
    },
    changeRate: next => {
      if (next === rate.bytesPerSecond) return;
      rate = rateOf(next);
      stopTimer();
      grant();
    },
  };
}

interface Rate {
  readonly bytesPerSecond: number;
  readonly bucket: TokenBucket;
  readonly quantum: number;
}

function rateOf(bytesPerSecond: number): Rate {
  const bucket = createTokenBucket({ perSecond: bytesPerSecond, burst: bytesPerSecond * BURST_SECONDS }, 0);
  const { min, max } = QUANTUM_BYTES;
  const quantum = Math.min(max, Math.max(min, Math.floor(bytesPerSecond * QUANTUM_SECONDS)));
  return { bytesPerSecond, bucket, quantum };
}
