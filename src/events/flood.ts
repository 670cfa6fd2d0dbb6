/**
 * Keeps a sandbox from filling the log with refusals: beyond so many a second of one sandbox they are counted, by
 * kind and reason, and told in one `gateway.repeated` event.
 *
 * Pure: the caller passes the time, in milliseconds of a monotonic clock. Leaks are never counted away.
 */
import type { EventBody, EventType } from './event.js';

const COUNTABLE: ReadonlySet<EventType> = new Set<EventType>([
  'dns.refused',
  'flow.refused',
  'tls.refused',
  'request.refused',
]);

/** Length of the window in which refusals are listed one by one, in milliseconds. */
const WINDOW_MS = 1_000;

/** Kinds counted apart in one window; kinds and reasons are ours, so this is never reached in practice. */
const MOST_KINDS = 64;

interface Window {
  readonly since: number;
  listed: number;
  readonly counted: Map<string, number>;
}

export class FloodGate {
  readonly #perSecond: number;
  readonly #windows = new Map<string | null, Window>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** True: the event is all that is to be told now. What `pass` would say, at no cost, for nearly every event. */
  isOpenTo({ type }: EventBody): boolean {
    return this.#windows.size === 0 && !COUNTABLE.has(type);
  }

  /** What is to be told now: the event, a count of earlier ones before it, or nothing. */
  pass(body: EventBody, nowMs: number): readonly EventBody[] {
    const told = this.#expire(nowMs);
    if (!COUNTABLE.has(body.type)) return [...told, body];
    const window = this.#windowOf(body.sandbox, nowMs);
    if (window.listed < this.#perSecond) {
      window.listed += 1;
      return [...told, body];
    }
    count(window, body);
    return told;
  }

  /** The counts that nobody was told of yet. */
  drain(): readonly EventBody[] {
    return this.#expire(Number.POSITIVE_INFINITY);
  }

  #windowOf(sandbox: string | null, nowMs: number): Window {
    const window = this.#windows.get(sandbox) ?? { since: nowMs, listed: 0, counted: new Map() };
    this.#windows.set(sandbox, window);
    return window;
  }

  #expire(nowMs: number): readonly EventBody[] {
    const told: EventBody[] = [];
    for (const [sandbox, window] of this.#windows) {
      // In order of their beginning: a window that is still open ends the search.
      if (nowMs - window.since < WINDOW_MS) break;
      this.#windows.delete(sandbox);
      if (window.counted.size > 0) told.push(repeated(sandbox, window.counted));
    }
    return told;
  }
}

function count({ counted }: Window, { type, network }: EventBody): void {
  const kind = `${type} ${network?.reason ?? 'unknown'}`;
  const key = counted.has(kind) || counted.size < MOST_KINDS ? kind : 'other';
  counted.set(key, (counted.get(key) ?? 0) + 1);
}

function repeated(sandbox: string | null, counted: ReadonlyMap<string, number>): EventBody {
  let total = 0;
  for (const times of counted.values()) total += times;
  return {
    type: 'gateway.repeated',
    sandbox,
    gateway: {
      message: `${total} more refusals within a second`,
      detail: [...counted].map(([kind, times]) => `${kind} ${times}`),
    },
  };
}
