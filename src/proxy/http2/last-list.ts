/**
 * The last field list of one connection, and what was read of it: most peers say the same in each message, and a list
 * that is the last one again, field by field, is not read a second time (docs/decisions/0060).
 *
 * Pure.
 */
import { charactersOf, type HeaderList, isSameList, NO_HEADERS, noteRepeated } from '../../core/headers.js';

/** A list of up to this many characters is kept until the next one comes. */
const KEPT_CHARACTERS = 4_096;

export class LastList<T> {
  readonly #headersOf: (read: T) => HeaderList;
  #fields: HeaderList = NO_HEADERS;
  #from = 0;
  #read: T | null = null;
  #isRepeated = false;

  /** `headersOf` gives the list that others keep things by: it is noted as one that comes again. */
  constructor(headersOf: (read: T) => HeaderList) {
    this.#headersOf = headersOf;
  }

  /** What was kept, if the fields of `fields` from the index `from` on are the last ones again; it must not be changed. */
  again(fields: HeaderList, from: number): T | null {
    const read = this.#read;
    if (read === null || !isSameList(fields, this.#fields, from, this.#from)) return null;
    if (!this.#isRepeated) noteRepeated(this.#headersOf(read));
    this.#isRepeated = true;
    return read;
  }

  /** Keeps what was read of them in place of what was kept; null: nothing. */
  keep(fields: HeaderList, from: number, read: T | null): void {
    const isKept = read !== null && charactersOf(fields) <= KEPT_CHARACTERS;
    this.#fields = isKept ? fields : NO_HEADERS;
    this.#from = from;
    this.#read = isKept ? read : null;
    this.#isRepeated = false;
  }
}
