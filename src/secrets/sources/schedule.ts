/** When a value is to be asked for again, and until when it may be used. Pure: durations in milliseconds. */

/** A token is renewed so long before it ends, or at half of its life if that is short. */
const EARLY_MS = 60_000;
/** A source that cannot be asked is asked again after one second, then two, four … */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
/** A value whose source does not answer outlives so many turns of `refresh`. */
const TURNS = 3;
/** The longest that a timer of Node can wait. */
const LONGEST_MS = 2_147_483_647;

/** Null: never. */
export function renewalDelay(
  refreshMs: number | null,
  lifeMs: number | null,
  againMs: number | null = null,
): number | null {
  const early = lifeMs === null ? null : lifeMs > 2 * EARLY_MS ? lifeMs - EARLY_MS : lifeMs / 2;
  const delays = [refreshMs, early, againMs].filter(delay => delay !== null);
  return delays.length === 0 ? null : Math.min(...delays, LONGEST_MS);
}

/** How long a value may be used. Null: for as long as nobody says that it is gone. */
export function lifeOf(refreshMs: number | null, lifeMs: number | null): number | null {
  return lifeMs ?? (refreshMs === null ? null : TURNS * refreshMs);
}

/** `left`: what is left of the value's life; at its end the value goes, on time. */
export function retryDelay(failures: number, left: number | null): number {
  const delay = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16), LAST_RETRY_MS);
  return left === null || left <= 0 ? delay : Math.min(delay, left);
}
