/**
 * The records of an extended header (POSIX.1-2017 pax, "pax Extended Header").
 *
 * Pure. A record that changes what a member is and that we do not know makes the archive one that we cannot read; a
 * vendor's note about it (upper case, "VENDOR.keyword") is passed over.
 */
import { err, ok, type Result } from '../../../core/result.js';
import { byteText, type TarFault } from './entry.js';

export interface PaxFacts {
  readonly path?: string;
  readonly link?: string;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Whole seconds. */
  readonly mtime?: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

const XATTR = 'SCHILY.xattr.';
const NOTES: ReadonlySet<string> = new Set(['atime', 'ctime', 'uname', 'gname', 'comment']);
const VENDOR = /^[A-Z][A-Z0-9_-]*\./;

/** Reads the whole of a local extended header. */
export function parsePax(bytes: Uint8Array): Result<PaxFacts, TarFault> {
  const records = parseRecords(bytes);
  if (records === null) return err('bad-pax');
  return factsOf(records);
}

/** A global header may hold a comment (`git archive` writes one); one that would change members is refused. */
export function isHarmlessGlobal(bytes: Uint8Array): boolean {
  const records = parseRecords(bytes);
  return records !== null && [...records.keys()].every(key => key === 'comment' || isNote(key));
}

type Records = ReadonlyMap<string, Uint8Array>;

/** Every record as `LENGTH KEY=VALUE\n`; null where lengths do not add up or a key stands twice. */
function parseRecords(bytes: Uint8Array): Records | null {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    const head = /^([1-9]\d{0,8}) /.exec(byteText(bytes.subarray(at, at + 10)));
    if (head === null) return null;
    const length = Number(head[1]);
    const record = bytes.subarray(at, at + length);
    if (record.length !== length || record[length - 1] !== 0x0a) return null;
    const equals = record.indexOf(0x3d);
    const key = byteText(record.subarray(head[0].length, equals < 0 ? undefined : equals));
    if (equals < head[0].length + 1 || records.has(key) || key.includes('\0')) return null;
    records.set(key, record.subarray(equals + 1, length - 1));
    at += length;
  }
  return records;
}

function factsOf(records: Records): Result<PaxFacts, TarFault> {
  const facts: { -readonly [K in keyof PaxFacts]: PaxFacts[K] } = { xattrs: xattrsOf(records) };
  for (const [key, value] of records) {
    if (key.startsWith('GNU.sparse')) return err('bad-type');
    if (key.startsWith(XATTR)) continue;
    if (key === 'path' || key === 'linkpath') {
      if (value.length === 0 || value.includes(0)) return err('bad-name');
      facts[key === 'path' ? 'path' : 'link'] = byteText(value);
    } else if (key === 'size' || key === 'uid' || key === 'gid') {
      const number = wholeNumber(value);
      if (number === null) return err('bad-number');
      facts[key] = number;
    } else if (key === 'mtime') {
      const seconds = secondsOf(value);
      if (seconds === null) return err('bad-number');
      facts.mtime = seconds;
    } else if (!isNote(key)) {
      return err('bad-pax');
    }
  }
  return ok(facts);
}

function isNote(key: string): boolean {
  if (key.startsWith('GNU.sparse') || key.startsWith(XATTR)) return false;
  return NOTES.has(key) || VENDOR.test(key);
}

function xattrsOf(records: Records): ReadonlyMap<string, Uint8Array> {
  const named = [...records].filter(([key]) => key.startsWith(XATTR) && key.length > XATTR.length);
  return new Map(named.map(([key, value]) => [key.slice(XATTR.length), Uint8Array.from(value)]));
}

function wholeNumber(value: Uint8Array): number | null {
  const text = byteText(value);
  const number = Number(text);
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(number) ? number : null;
}

function secondsOf(value: Uint8Array): number | null {
  const match = /^(-?\d{1,12})(?:\.\d*)?$/.exec(byteText(value));
  return match === null ? null : Number(match[1]);
}
