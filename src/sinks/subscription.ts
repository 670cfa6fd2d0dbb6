/**
 * What one reader of the event server has been given, and what comes next: from the ring, as fast as it reads.
 *
 * Pure. A place is `GATEWAY-SEQ`, the id of the last event that the reader has; a reader whose place is no longer held
 * is told of the gap before it goes on.
 */
import { err, ok, type Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import { compileFilter, type EventFilter } from '../events/filter.js';
import type { EventRing, Held } from './ring.js';

/** Where a reader begins: after an event, at the oldest that is held, or at whatever comes next. */
export type Place =
  | { readonly kind: 'after'; readonly gateway: string; readonly seq: number }
  | { readonly kind: 'start' }
  | { readonly kind: 'now' };

export interface Wish {
  readonly place: Place;
  readonly filter: EventFilter | null;
}

const ID = /^([A-Za-z0-9_-]{1,64})-([1-9]\d{0,15})$/;

const KNOWN = new Set(['from', 'filter']);

/** The query of the request and its `Last-Event-ID`, which wins: a client that comes back sends both. */
export function parseWish(query: URLSearchParams, lastEventId: string | undefined): Result<Wish, string> {
  const strange = [...query.keys()].find((key, i, all) => !KNOWN.has(key) || all.indexOf(key) !== i);
  if (strange !== undefined) return err('the query has from and filter, once each');
  const place = parsePlace(lastEventId ?? query.get('from') ?? 'now');
  if (place === null) return err('from is start, now or the id of an event');
  const expression = query.get('filter');
  if (expression === null) return ok({ place, filter: null });
  const filter = compileFilter(expression);
  if (!filter.ok) return err(`filter: column ${filter.error.column}: ${filter.error.message}`);
  return ok({ place, filter: filter.value });
}

function parsePlace(text: string): Place | null {
  if (text === 'start' || text === 'now') return { kind: text };
  const [, gateway, digits] = ID.exec(text) ?? [];
  return gateway === undefined ? null : { kind: 'after', gateway, seq: Number(digits) };
}

/** Events that a reader asked for and that are no longer held. */
export interface Gap {
  /** The last one that the reader has; null if it has none of this gateway. */
  readonly after: number | null;
  /** The next one that it gets. */
  readonly next: number;
}

export type Step = { readonly gap: Gap } | { readonly event: Event; readonly line: string };

export class Subscription {
  readonly #ring: EventRing;
  readonly #filter: EventFilter | null;
  #seq: number;
  /** Null: nothing is known to be missing. */
  #gap: Gap | null;

  /** `gateway` is the one whose events are in the ring; `lastSeq` the last that it gave, held or not. */
  constructor(ring: EventRing, { place, filter }: Wish, gateway: string | null, lastSeq: number) {
    this.#ring = ring;
    this.#filter = filter;
    const first = ring.firstSeq ?? lastSeq + 1;
    this.#gap = null;
    if (place.kind === 'now') this.#seq = lastSeq;
    else if (place.kind === 'start') this.#seq = first - 1;
    else if (place.gateway === gateway) this.#seq = Math.min(place.seq, lastSeq);
    else {
      // Another run's event: whatever came after it there is not here.
      this.#seq = first - 1;
      this.#gap = { after: null, next: first };
    }
  }

  /** The next thing to tell, or null: there is nothing yet. */
  next(): Step | null {
    const gap = this.#gap ?? this.#fallenBehind(this.#ring.lostUpTo);
    this.#gap = null;
    if (gap !== null) return { gap };
    for (let held = this.#ring.after(this.#seq); held !== null; held = this.#ring.after(this.#seq)) {
      this.#seq = held.event.seq;
      if (this.#wants(held)) return held;
    }
    return null;
  }

  #fallenBehind(lostUpTo: number): Gap | null {
    if (this.#seq >= lostUpTo) return null;
    const after = this.#seq;
    this.#seq = lostUpTo;
    return { after, next: lostUpTo + 1 };
  }

  #wants({ event }: Held): boolean {
    return this.#filter === null || this.#filter(event);
  }
}
