/**
 * Plain data on one line: JSON in printable ASCII, for forms of an event that are records of their own (`ocsf.ts`).
 *
 * Pure. JSON.stringify and a second look at its result take half as long again, and this may run for every request.
 */
import { AsciiWriter, type Piece, piece } from './ascii.js';
import { quote } from './encode.js';

/** What is undefined is left out, as JSON.stringify leaves it. */
export type Plain = string | number | boolean | null | undefined | readonly Plain[] | PlainRecord;

/** Keys are ours: short, few, printable, without a quote or a backslash. */
export interface PlainRecord {
  readonly [key: string]: Plain;
}

const writer = new AsciiWriter();

/** The line of `record`, line feed included. Strings stand there whole: whoever has one of a stranger's cuts it. */
export function encodePlain(record: PlainRecord): string {
  writer.reset();
  writePlain(writer, record);
  writer.byte(LINE_FEED);
  return writer.text();
}

function writePlain(w: AsciiWriter, value: Exclude<Plain, undefined>): void {
  w.reserve(0);
  if (typeof value === 'string') quote(w, value, Number.POSITIVE_INFINITY);
  else if (typeof value === 'number') w.number(value);
  else if (value === null || typeof value === 'boolean') w.word(String(value));
  else if (isList(value)) writeList(w, value);
  else writeRecord(w, value);
}

function isList(value: readonly Plain[] | PlainRecord): value is readonly Plain[] {
  return Array.isArray(value);
}

function writeList(w: AsciiWriter, list: readonly Plain[]): void {
  w.byte(LIST_BEGIN);
  list.forEach((item, at) => {
    if (at > 0) w.byte(COMMA);
    writePlain(w, item ?? null);
  });
  w.reserve(0);
  w.byte(LIST_END);
}

function writeRecord(w: AsciiWriter, record: PlainRecord): void {
  w.byte(BEGIN);
  let isFirst = true;
  for (const key in record) {
    const value = record[key];
    if (value === undefined) continue;
    if (!isFirst) w.byte(COMMA);
    isFirst = false;
    w.put(keyOf(key));
    writePlain(w, value);
  }
  w.reserve(0);
  w.byte(END);
}

const KEYS = new Map<string, Piece>();

function keyOf(key: string): Piece {
  const known = KEYS.get(key);
  if (known !== undefined) return known;
  const made = piece(`"${key}":`);
  KEYS.set(key, made);
  return made;
}

const LINE_FEED = 0x0a;
const COMMA = 0x2c;
const LIST_BEGIN = 0x5b;
const LIST_END = 0x5d;
const BEGIN = 0x7b;
const END = 0x7d;
