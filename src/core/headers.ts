/**
 * An ordered list of header fields (RFC 9110 §5): order, case of the names and duplicates are as received,
 * so that a relayed message is the message. Never an object: names are a stranger's strings.
 */
export type HeaderField = readonly [name: string, value: string];
export type HeaderList = readonly HeaderField[];

export const NO_HEADERS: HeaderList = Object.freeze([]);

/** Lists that came again as they were: what was found out about one of them may be worth keeping. */
const repeated = new WeakSet<HeaderList>();

export function isRepeated(headers: HeaderList): boolean {
  return repeated.has(headers);
}

export function noteRepeated(headers: HeaderList): void {
  repeated.add(headers);
}

/** Whether the fields of `one` from the index `from` on are those of `other` from `otherFrom` on, character for character. */
export function isSameList(one: HeaderList, other: HeaderList, from = 0, otherFrom = 0): boolean {
  const shift = otherFrom - from;
  if (one.length + shift !== other.length) return false;
  if (one === other) return true;
  for (let i = from; i < one.length; i++) {
    const field = one[i] as HeaderField;
    const known = other[i + shift] as HeaderField;
    if (field !== known && (field[0] !== known[0] || field[1] !== known[1])) return false;
  }
  return true;
}

export function charactersOf(fields: HeaderList): number {
  let sum = 0;
  for (const [name, value] of fields) sum += name.length + value.length;
  return sum;
}

/** All values of the fields called `lowerName`, in order. `lowerName` must be lower case. */
export function headerValues(headers: HeaderList, lowerName: string): string[] {
  const values: string[] = [];
  for (const [name, value] of headers) {
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) values.push(value);
  }
  return values;
}

/** The first value of `lowerName`, or null. Use `headerValues` where a duplicate is an error. */
export function firstHeader(headers: HeaderList, lowerName: string): string | null {
  for (const [name, value] of headers) {
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return value;
  }
  return null;
}

/** The list without the fields that `names` has; the list itself if it has none of them. */
export function withoutHeaders(headers: HeaderList, names: FieldNames): HeaderList {
  return headers.some(([name]) => names.has(name)) ? headers.filter(([name]) => !names.has(name)) : headers;
}

/**
 * A set of field names, which compare without case. Every field of every message is looked for in several of them:
 * nearly all are told apart by their length and first letter, without a copy in lower case.
 */
export class FieldNames {
  readonly #lowerNames: ReadonlySet<string>;
  /** By length, one bit for each first letter that a name of that length has. */
  readonly #letters = new Uint32Array(64);

  constructor(lowerNames: Iterable<string>) {
    this.#lowerNames = new Set(lowerNames);
    for (const name of this.#lowerNames) {
      const at = name.length & 63;
      this.#letters[at] = (this.#letters[at] ?? 0) | (1 << (name.charCodeAt(0) & 31));
    }
  }

  /** False: it has no name like `name`. True: it may. Of a letter, the last five bits are the same in either case. */
  mayHave(name: string): boolean {
    return (((this.#letters[name.length & 63] as number) >>> (name.charCodeAt(0) & 31)) & 1) === 1;
  }

  has(name: string): boolean {
    return this.mayHave(name) && this.#lowerNames.has(name.toLowerCase());
  }
}
