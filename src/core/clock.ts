/**
 * The two times the gateway knows. Pure code takes them as numbers; shells take a `Clock`, so that a test
 * can replace time without patching globals.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch: what an event carries. May jump. */
  now(): number;
  /** Milliseconds of a monotonic clock: what a deadline or a duration uses. Fractions are kept. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
