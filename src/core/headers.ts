/**
 * An ordered list of header fields (RFC 9110 §5): order, case of the names and duplicates are as received,
 * so that a relayed message is the message. Never an object: names are a stranger's strings.
 */
export type HeaderField = readonly [name: string, value: string];
export type HeaderList = readonly HeaderField[];

export const NO_HEADERS: HeaderList = Object.freeze([]);

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

/** The list without the fields whose lower-case name is in `lowerNames`. */
export function withoutHeaders(headers: HeaderList, lowerNames: ReadonlySet<string>): HeaderList {
  return headers.filter(([name]) => !lowerNames.has(name.toLowerCase()));
}
