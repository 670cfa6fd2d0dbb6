/**
 * One pass over a head that swaps placeholders for values, place by place, and keeps the books: what was used, what
 * was left, what may not stand where it stands.
 *
 * Pure. `Pass` is made for one request and read once it is done.
 */
import type { HeaderField, HeaderList } from '../core/headers.js';
import { allowsBasic, allowsHeader, allowsKind, allowsQuery } from './place.js';
import type { Leak, LeakReason, Scope } from './scan.js';
import { reveal, revealWire } from './secret.js';
import type { Entry, SandboxSecrets } from './store.js';
import { basicCredentials, mayHoldPlaceholder, swapBasic, swapPlaceholders } from './swap.js';

/** How a secret that may not stand in a place is treated there. */
type Otherwise = 'leave' | 'refuse';

export class Pass {
  /** How often each secret was written. */
  readonly used = new Map<string, number>();
  /** Lower-case names of the fields that now hold a value. */
  readonly sensitive = new Set<string>();
  readonly left: { readonly secret: string | null; readonly place: string }[] = [];
  readonly faults: Leak[] = [];
  readonly #secrets: SandboxSecrets;
  readonly #scope: Scope;

  constructor(secrets: SandboxSecrets, scope: Scope) {
    this.#secrets = secrets;
    this.#scope = scope;
  }

  /** Swaps in an origin-form target; values are percent-encoded, so that they stay one component. */
  target(path: string): string {
    if (!mayHoldPlaceholder(path)) return path;
    const mark = path.indexOf('?');
    const segments = mark < 0 ? path : path.slice(0, mark);
    // A placeholder in a path is a mistake or a probe: paths stand in logs everywhere.
    const swapped = this.#swap(
      segments,
      'path',
      encodeValue,
      ({ places }) => allowsKind(places, 'path'),
      'refuse',
    );
    return mark < 0 ? swapped : `${swapped}?${this.#query(path.slice(mark + 1))}`;
  }

  #query(query: string): string {
    return query
      .split('&')
      .map(field => {
        const equals = field.indexOf('=');
        const name = equals < 0 ? field : field.slice(0, equals);
        return this.#swap(field, 'query', encodeValue, ({ places }) => allowsQuery(places, name), 'leave');
      })
      .join('&');
  }

  /** The list itself where nothing was swapped. */
  fields(headers: HeaderList): HeaderList {
    let changed = false;
    const swapped = headers.map(field => {
      const next = this.#field(field);
      changed ||= next !== field;
      return next;
    });
    return changed ? swapped : headers;
  }

  #field(field: HeaderField): HeaderField {
    const [name, value] = field;
    const isAuthorization = name.length === 13 && name.toLowerCase() === 'authorization';
    if (!mayHoldPlaceholder(value) && !isAuthorization) return field;
    const lowerName = name.toLowerCase();
    const place = `header:${lowerName}`;
    const result =
      isAuthorization && basicCredentials(value) !== null
        ? swapBasic(
            value,
            this.#valueIn(place, revealWireOf, ({ places }) => allowsBasic(places, lowerName), 'leave'),
          )
        : this.#swap(value, place, revealWireOf, ({ places }) => allowsHeader(places, lowerName), 'leave');
    if (result === value) return field;
    this.sensitive.add(lowerName);
    return [name, result];
  }

  #swap(
    text: string,
    place: string,
    write: (entry: Entry) => string,
    allows: (entry: Entry) => boolean,
    otherwise: Otherwise,
  ): string {
    return swapPlaceholders(text, this.#valueIn(place, write, allows, otherwise));
  }

  #valueIn(
    place: string,
    write: (entry: Entry) => string,
    allows: (entry: Entry) => boolean,
    otherwise: Otherwise,
  ): (placeholder: string) => string | null {
    return placeholder => {
      const entry = this.#secrets.byPlaceholder.get(placeholder);
      // Out of scope was a leak already: what is not known here is nobody's.
      if (entry === undefined || !this.#scope.allowed.has(entry.name)) {
        this.left.push({ secret: null, place });
        return null;
      }
      if (allows(entry)) {
        this.used.set(entry.name, (this.used.get(entry.name) ?? 0) + 1);
        return write(entry);
      }
      if (otherwise === 'refuse' || entry.pinned) this.#fault(entry.name, place, 'forbidden-place');
      else this.left.push({ secret: entry.name, place });
      return null;
    };
  }

  #fault(secret: string, place: string, reason: LeakReason): void {
    this.faults.push({ secret, place, encoding: 'plain', reason });
  }

  /** Secrets that stand in the head more often than they may. */
  excesses(): Leak[] {
    const excesses: Leak[] = [];
    for (const [secret, count] of this.used) {
      const most = this.#secrets.entries.get(secret)?.maxOccurrences ?? null;
      if (most !== null && count > most)
        excesses.push({ secret, place: 'head', encoding: 'plain', reason: 'too-many' });
    }
    return excesses;
  }
}

function revealWireOf({ secret }: Entry): string {
  return revealWire(secret);
}

function encodeValue({ secret }: Entry): string {
  return encodeURIComponent(reveal(secret));
}
