/**
 * What a reader of the event server has missed, from where the gateway keeps its events, and then what comes.
 *
 * Pure of I/O: the store reads. What retention took under the reader is told as a gap, and it goes on.
 */
import { errorCode } from '../core/errors.js';
import type { Event } from '../events/event.js';
import type { EventFilter } from '../events/filter.js';
import type { EventStore } from '../events/store.js';
import type { Place, Step } from './subscription.js';

export interface PastOptions {
  readonly store: EventStore;
  readonly place: Exclude<Place, { readonly kind: 'now' }>;
  readonly filter: EventFilter;
  readonly encode: (event: Event) => string;
  readonly signal: AbortSignal;
}

/** Ends when the store is closed and read to its end, or `signal` fires. */
export async function* stepsFrom({
  store,
  place,
  filter,
  encode,
  signal,
}: PastOptions): AsyncGenerator<Step> {
  let from = place.kind === 'start' ? 'start' : `${place.gateway}-${place.seq}`;
  let after = place.kind === 'start' ? null : place.seq;
  let missing = false;
  for (;;) {
    try {
      for await (const batch of store.read({ from, signal })) {
        for (const event of batch) {
          if (missing) yield { gap: { after, next: event.seq } };
          missing = false;
          from = event.id;
          after = event.seq;
          if (filter(event)) yield { event, line: encode(event) };
        }
      }
      return;
    } catch (error) {
      if (errorCode(error) !== 'CURSOR_UNKNOWN' || from === 'start') throw error;
      missing = true;
      from = 'start';
    }
  }
}
