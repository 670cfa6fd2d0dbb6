/**
 * What a client may do that costs it nothing (RFC 9113 §10.5): a token bucket for each kind of frame.
 *
 * Pure: the caller passes the time, in milliseconds of a monotonic clock.
 */

export type FloodKind =
  | 'reset' // streams that ended by an error, whoever said so: work begun and thrown away
  | 'settings' // each is answered
  | 'ping' // each is answered
  | 'empty-data' // DATA of no content that ends nothing
  | 'window' // WINDOW_UPDATE; content that we send earns some back
  | 'idle'; // PRIORITY, acknowledgements, unknown types

interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
}

/** Browsers cancel a page of streams at once; nobody pings a hundred times a second. */
const ALLOWANCES: Readonly<Record<FloodKind, Allowance>> = {
  reset: { burst: 120, perSecond: 2 },
  settings: { burst: 30, perSecond: 1 },
  ping: { burst: 100, perSecond: 5 },
  'empty-data': { burst: 100, perSecond: 10 },
  window: { burst: 2_000, perSecond: 200 },
  idle: { burst: 1_000, perSecond: 100 },
};

export class FloodMeter {
  readonly #levels = new Map<FloodKind, { tokens: number; atMs: number }>();

  /** Counts one frame; false when that is one too many. */
  allows(kind: FloodKind, nowMs: number): boolean {
    const { burst, perSecond } = ALLOWANCES[kind];
    const level = this.#levels.get(kind) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, level.tokens + ((nowMs - level.atMs) * perSecond) / 1000) - 1;
    level.tokens = tokens;
    level.atMs = nowMs;
    this.#levels.set(kind, level);
    return tokens >= 0;
  }

  /** Gives back `count` of what `kind` has used up. */
  earn(kind: FloodKind, count: number): void {
    const level = this.#levels.get(kind);
    if (level !== undefined) level.tokens = Math.min(ALLOWANCES[kind].burst, level.tokens + count);
  }
}
