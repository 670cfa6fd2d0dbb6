/**
 * A token bucket: `perSecond` tokens flow in, at most `burst` stay.
 *
 * Pure: the caller passes the time, in milliseconds of a monotonic clock. A clock that steps back adds nothing.
 */
export interface BucketRate {
  readonly perSecond: number;
  /** The most that may be taken at once after a pause. */
  readonly burst: number;
}

export interface TokenBucket {
  /** Takes `tokens` if all of them are there. */
  take(tokens: number, nowMs: number): boolean;
  /**
   * Takes `tokens` whatever the level, so that the level may fall below zero. For work whose size is known only
   * after it was done; whoever calls it asks `waitMs` first.
   */
  spend(tokens: number, nowMs: number): void;
  /** Milliseconds until the level is no longer below zero; 0 if it is not. */
  waitMs(nowMs: number): number;
}

/** `initial` is the level at the start; a full bucket by default. */
export function createTokenBucket(rate: BucketRate, initial: number = rate.burst): TokenBucket {
  const perMs = rate.perSecond / 1000;
  let level = initial;
  let filledAtMs = Number.NEGATIVE_INFINITY;

  const fill = (nowMs: number): void => {
    if (nowMs <= filledAtMs) return;
    // The first call only sets the clock: Infinity x 0 would be NaN.
    if (Number.isFinite(filledAtMs)) level = Math.min(rate.burst, level + (nowMs - filledAtMs) * perMs);
    filledAtMs = nowMs;
  };

  return {
    take: (tokens, nowMs) => {
      fill(nowMs);
      if (tokens > level) return false;
      level -= tokens;
      return true;
    },
    spend: (tokens, nowMs) => {
      fill(nowMs);
      level -= tokens;
    },
    waitMs: nowMs => {
      fill(nowMs);
      return level >= 0 ? 0 : -level / perMs;
    },
  };
}
