/**
 * The spool's lines: heads, records and checkpoints, one JSON object each, every one with the hash of the line before
 * it. `docs/reference/spool.md` is the same for a reader of another program.
 *
 * Pure. What is signed is a line's own text up to `,"sig":`, so that nobody has to agree on how JSON is written.
 */
import { hash } from 'node:crypto';
import { type AsciiWriter, piece } from '../ascii.js';
import { writeEvent } from '../encode.js';
import type { Event } from '../event.js';

/** What `format` says. A spool of a newer one is refused, never guessed at. */
export const SPOOL_FORMAT = 1;

/** Stands before the first line there is: the hash of nothing. */
export const NO_HASH = 'A'.repeat(43);

/** The first line of a segment, signed. */
export interface Head {
  readonly kind: 'head';
  /** Which segment of the spool, from 1. */
  readonly segment: number;
  readonly format: number;
  readonly spool: string;
  /** Number of its first record. */
  readonly first: number;
  /** The run that wrote it, and the `seq` of its first event. */
  readonly gatewayId: string;
  readonly seq: number;
  readonly timestamp: number;
  readonly prev: string;
}

export interface RecordLine {
  readonly kind: 'record';
  /** Counts through the whole spool, from 1, without a gap. */
  readonly n: number;
  readonly prev: string;
  /** The event's JSON. */
  readonly event: string;
}

/** Signed, now and then and at the end: what stands before it was there when it was signed. */
export interface Checkpoint {
  readonly kind: 'checkpoint';
  /** Number of the last record before it; 0: none. */
  readonly n: number;
  readonly spool: string;
  readonly timestamp: number;
  /** The gateway ended here, and not by a crash. */
  readonly closed: boolean;
  readonly prev: string;
}

export type SpoolLine = Head | RecordLine | Checkpoint;

/** Gives the signature of a text, base64url. */
export type Sign = (text: string) => string;

/** The hash of a line without its line feed: base64url, 43 characters. */
export function hashOf(line: string): string {
  return hash('sha256', line, 'base64url');
}

/** As `hashOf`, of a line that is bytes already. */
export function hashOfBytes(line: Uint8Array): string {
  return hash('sha256', line, 'base64url');
}

/** Writes the record of `event`, without a line feed. */
export function writeRecord(w: AsciiWriter, n: number, prev: string, event: Event): void {
  w.reserve(0);
  w.put(RECORD_PIECES.n);
  w.number(n);
  w.put(RECORD_PIECES.prev);
  w.word(prev);
  w.put(RECORD_PIECES.event);
  writeEvent(w, event);
  w.byte(0x7d);
}

const RECORD_PIECES = { n: piece('{"n":'), prev: piece(',"prev":"'), event: piece('","event":') } as const;

export function emitHead(head: Omit<Head, 'kind'>, sign: Sign): string {
  const { segment, format, spool, first, gatewayId, seq, timestamp, prev } = head;
  return signed(
    `{"segment":${segment},"format":${format},"spool":"${spool}","first":${first},"gateway_id":"${gatewayId}"` +
      `,"seq":${seq},"timestamp":${timestamp},"prev":"${prev}"`,
    sign,
  );
}

export function emitCheckpoint(
  { n, spool, timestamp, closed, prev }: Omit<Checkpoint, 'kind'>,
  sign: Sign,
): string {
  return signed(
    `{"checkpoint":${n},"spool":"${spool}","timestamp":${timestamp},"closed":${closed},"prev":"${prev}"`,
    sign,
  );
}

function signed(text: string, sign: Sign): string {
  return `${text},"sig":"${sign(text)}"}`;
}

const SIGNED = /^(\{.*),"sig":"([\w-]{86})"\}$/;

/** The text of a signed line, and its signature; null for a line that has none. */
export function signatureOf(line: string): { readonly text: string; readonly signature: string } | null {
  const [, text, signature] = SIGNED.exec(line) ?? [];
  return text === undefined || signature === undefined ? null : { text, signature };
}

const RECORD = /^\{"n":(\d{1,15}),"prev":"([\w-]{43})","event":$/;
const HEAD =
  /^\{"segment":(\d{1,9}),"format":(\d{1,9}),"spool":"(\w{1,64})","first":(\d{1,15}),"gateway_id":"(\w{1,64})","seq":(\d{1,15}),"timestamp":(\d{1,15}),"prev":"([\w-]{43})","sig":"[\w-]{86}"\}$/;
const CHECKPOINT =
  /^\{"checkpoint":(\d{1,15}),"spool":"(\w{1,64})","timestamp":(\d{1,15}),"closed":(true|false),"prev":"([\w-]{43})","sig":"[\w-]{86}"\}$/;

const EVENT_KEY = '"event":';
/** The longest beginning of a record, up to its event. */
const RECORD_HEAD = 100;

/** What `line` is, or null: nothing that a spool holds. Whether it is true is another question (`verify`). */
export function parseSpoolLine(line: string): SpoolLine | null {
  if (line.startsWith('{"n":')) return parseRecord(line);
  return line.startsWith('{"segment":') ? parseHead(line) : parseCheckpoint(line);
}

function parseRecord(line: string): RecordLine | null {
  const at = line.slice(0, RECORD_HEAD).indexOf(EVENT_KEY) + EVENT_KEY.length;
  const [, n, prev] = RECORD.exec(line.slice(0, at)) ?? [];
  if (n === undefined || prev === undefined || !line.endsWith('}}')) return null;
  return { kind: 'record', n: Number(n), prev, event: line.slice(at, -1) };
}

function parseHead(line: string): Head | null {
  const [, segment, format, spool = '', first, gatewayId = '', seq, timestamp, prev = ''] =
    HEAD.exec(line) ?? [];
  if (segment === undefined) return null;
  return {
    kind: 'head',
    segment: Number(segment),
    format: Number(format),
    spool,
    first: Number(first),
    gatewayId,
    seq: Number(seq),
    timestamp: Number(timestamp),
    prev,
  };
}

function parseCheckpoint(line: string): Checkpoint | null {
  const [, n, spool = '', timestamp, closed, prev = ''] = CHECKPOINT.exec(line) ?? [];
  if (n === undefined) return null;
  return {
    kind: 'checkpoint',
    n: Number(n),
    spool,
    timestamp: Number(timestamp),
    closed: closed === 'true',
    prev,
  };
}

/** A segment as its name tells it: where it stands, and how it is found without being opened. */
export interface SegmentName {
  readonly file: string;
  readonly segment: number;
  readonly first: number;
  readonly gatewayId: string;
  readonly seq: number;
}

const NAME = /^(\d{8})-(\d{12})-(\w{1,64})-(\d{12})\.jsonl$/;

export function segmentFile({ segment, first, gatewayId, seq }: Omit<SegmentName, 'file'>): string {
  const padded = (value: number, digits: number): string => String(value).padStart(digits, '0');
  return `${padded(segment, 8)}-${padded(first, 12)}-${gatewayId}-${padded(seq, 12)}.jsonl`;
}

/** Null for a file that is none. */
export function parseSegmentFile(file: string): SegmentName | null {
  const [, segment, first, gatewayId, seq] = NAME.exec(file) ?? [];
  if (gatewayId === undefined) return null;
  return { file, segment: Number(segment), first: Number(first), gatewayId, seq: Number(seq) };
}

/** `spool.json`: whose spool it is, and where it begins since older segments were removed. */
export interface Manifest {
  readonly format: number;
  readonly spool: string;
  /** The public key, raw, base64url. */
  readonly key: string;
  readonly created: number;
  /** The oldest segment that is kept, its first record, and the hash of the line before it. */
  readonly segment: number;
  readonly first: number;
  readonly prev: string;
}

export function emitManifest(manifest: Manifest, sign: Sign): string {
  const { format, spool, key, created, segment, first, prev } = manifest;
  return signed(
    `{"format":${format},"spool":"${spool}","key":"${key}","created":${created},"segment":${segment}` +
      `,"first":${first},"prev":"${prev}"`,
    sign,
  );
}

const MANIFEST =
  /^\{"format":(\d{1,9}),"spool":"(\w{1,64})","key":"([\w-]{43})","created":(\d{1,15}),"segment":(\d{1,9}),"first":(\d{1,15}),"prev":"([\w-]{43})","sig":"[\w-]{86}"\}\n?$/;

const ANY_FORMAT = /^\{"format":(\d{1,9})\b/;

/** The manifest, the number of a format that is not ours, or null: nothing of the kind. */
export function parseManifest(text: string): Manifest | number | null {
  const format = Number(ANY_FORMAT.exec(text)?.[1] ?? Number.NaN);
  if (Number.isNaN(format)) return null;
  if (format !== SPOOL_FORMAT) return format;
  const [, , spool = '', key = '', created, segment, first, prev = ''] = MANIFEST.exec(text) ?? [];
  if (created === undefined) return null;
  return {
    format,
    spool,
    key,
    created: Number(created),
    segment: Number(segment),
    first: Number(first),
    prev,
  };
}
