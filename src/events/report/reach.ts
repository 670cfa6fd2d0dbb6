/** Where secrets went in a record, and where a candidate would let them go of what was asked there. Pure; bounded. */
import { owned } from './tally.js';

const MOST_PLACES = 4_096;

export class Reach {
  readonly #carried = new Map<string, Set<string>>();
  readonly #possible = new Map<string, Set<string>>();

  /** They were filled in for a request to `authority`. */
  carried(secrets: readonly string[], authority: string): void {
    for (const secret of secrets) note(this.#carried, secret, authority);
  }

  /** The candidate would fill them in there. */
  possible(secrets: readonly string[], authority: string): void {
    for (const secret of secrets) note(this.#possible, secret, authority);
  }

  /** Each secret that could go where it never went, with those places. */
  grown(): readonly (readonly [secret: string, authorities: readonly string[]])[] {
    return [...this.#possible].flatMap(([secret, places]) => {
      const known = this.#carried.get(secret);
      const fresh = [...places].filter(place => known?.has(place) !== true).sort();
      return fresh.length === 0 ? [] : [[secret, fresh] as const];
    });
  }
}

function note(places: Map<string, Set<string>>, secret: string, authority: string): void {
  let known = places.get(secret);
  if (known === undefined) {
    known = new Set();
    places.set(owned(secret), known);
  }
  if (known.size < MOST_PLACES) known.add(authority);
}
