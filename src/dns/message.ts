/**
 * One strict reading of a DNS query (RFC 1035 §4, RFC 6891, RFC 9267).
 *
 * Pure, iterative, one pass. A query has one question and nothing else but one OPT record; a name in it is never
 * compressed; what does not fit this form is not repaired. Nothing of the query is ever sent on: what the rest of
 * the program sees is a name, a type and whether EDNS was spoken.
 */
import { type Hostname, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';

export const DNS_HEADER_BYTES = 12;
/** RFC 1035 §2.3.4: octets of a name on the wire, root label included. */
const MAX_NAME_BYTES = 255;

export const RCODE = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

export const TYPE = { a: 1, ptr: 12, aaaa: 28, opt: 41, any: 255 } as const;

const CLASS_IN = 1;
const CLASSES = new Set([1, 3, 4, 254, 255]);
const FLAGS_HIGH_QR = 0x80;
const FLAGS_HIGH_AA_TC = 0x06;
const FLAGS_LOW_RA_Z = 0xc0;

/**
 * EDNS options that a stub has a reason to send, each of which we ignore: DAU, DHU, N3U (RFC 6975), COOKIE (RFC 7873),
 * and the questions NSID (RFC 5001 §2.1) and KEEPALIVE (RFC 7828 §3.2.1), which say nothing. Any other, such as
 * CLIENT-SUBNET or a local one, is a letter to somebody behind us, and the query is refused as a whole: a resolver
 * that means well asks again without EDNS (RFC 6891 §7). So is PADDING: nothing is hidden here (RFC 7830 §6).
 */
const IGNORED_OPTIONS = new Set([5, 6, 7]);
const EMPTY_OPTIONS = new Set([3, 11]);
const OPTION_COOKIE = 10;
/** RFC 6975 §3: a list of algorithm numbers, of which there are 256. */
const MAX_ALGORITHMS = 256;

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  /** Name, type and class as received, 0x20 case included: an answer echoes exactly these bytes. A copy. */
  readonly question: Uint8Array;
  /** The name as a look-up key; null where its labels are not those of a host name (or of the root). */
  readonly name: Hostname | null;
  /** The name in RFC 1035 §5.1 text, every odd byte as `\DDD`: safe in an event. */
  readonly text: string;
  readonly type: number;
  /** Present if the query carried an OPT record; `udpBytes` is what the asker can take, at least 512. */
  readonly edns: { readonly udpBytes: number } | null;
}

export type QueryFault =
  | 'dns-truncated'
  | 'dns-response' // QR is set: answering it would make a loop
  | 'dns-opcode'
  | 'dns-flags'
  | 'dns-counts'
  | 'dns-name'
  | 'dns-compressed'
  | 'dns-class'
  | 'dns-edns'
  | 'dns-trailing';

export interface BadQuery {
  readonly fault: QueryFault;
  /** What to answer; null says nothing at all. */
  readonly rcode: Rcode | null;
}

/** Reads a whole UDP payload, or one message of a TCP stream. Never throws. */
export function parseQuery(packet: Uint8Array): Result<Query, BadQuery> {
  if (packet.length < DNS_HEADER_BYTES) return bad('dns-truncated', null);
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const headFault = checkHeader(view);
  if (headFault !== null) return err(headFault);

  const name = readName(packet, DNS_HEADER_BYTES);
  if (!name.ok) return bad(name.error, RCODE.formErr);
  const nameEnd = name.value.end;
  const end = nameEnd + 4;
  if (end > packet.length) return bad('dns-truncated', RCODE.formErr);
  const qclass = view.getUint16(nameEnd + 2);
  if (qclass !== CLASS_IN) return bad('dns-class', CLASSES.has(qclass) ? RCODE.notImp : RCODE.formErr);

  const edns = view.getUint16(10) === 0 ? ok({ edns: null, end }) : readOpt(packet, end);
  if (!edns.ok) return bad(edns.error, RCODE.formErr);
  if (edns.value.end !== packet.length) return bad('dns-trailing', RCODE.formErr);
  return ok({
    id: view.getUint16(0),
    recursionDesired: (view.getUint8(2) & 1) !== 0,
    checkingDisabled: (view.getUint8(3) & 0x10) !== 0,
    question: packet.slice(DNS_HEADER_BYTES, end),
    name: name.value.name,
    text: name.value.text,
    type: view.getUint16(nameEnd),
    edns: edns.value.edns,
  });
}

/**
 * AD and CD are allowed: musl and dig set AD in every query (RFC 6840 §5.7), validating stubs set CD. The reserved
 * bit, and those that only an answer carries, are not.
 */
function checkHeader(view: DataView): BadQuery | null {
  const high = view.getUint8(2);
  const low = view.getUint8(3);
  if (high & FLAGS_HIGH_QR) return { fault: 'dns-response', rcode: null };
  if (high & 0x78) return { fault: 'dns-opcode', rcode: RCODE.notImp };
  if (high & FLAGS_HIGH_AA_TC || low & FLAGS_LOW_RA_Z || low & 0x0f) {
    return { fault: 'dns-flags', rcode: RCODE.formErr };
  }
  const alone = view.getUint16(4) === 1 && view.getUint16(6) === 0 && view.getUint16(8) === 0;
  return alone && view.getUint16(10) <= 1 ? null : { fault: 'dns-counts', rcode: RCODE.formErr };
}

interface ReadName {
  readonly name: Hostname | null;
  readonly text: string;
  /** Offset of the first byte after the root label. */
  readonly end: number;
}

function readName(packet: Uint8Array, start: number): Result<ReadName, QueryFault> {
  const labels: string[] = [];
  let plain = true;
  let at = start;
  for (;;) {
    const length = packet[at];
    if (length === undefined) return err('dns-truncated');
    // Also 0x40 and 0x80, the extended label types that RFC 6891 §5 withdrew.
    if (length > 63) return err('dns-compressed');
    at += 1;
    if (at - start + length > MAX_NAME_BYTES) return err('dns-name');
    if (length === 0) break;
    const label = packet.subarray(at, at + length);
    if (label.length < length) return err('dns-truncated');
    const text = labelText(label);
    // Longer than its bytes: something was escaped, so joining the labels would give another name.
    plain &&= text.length === length;
    labels.push(text);
    at += length;
  }
  const text = labels.length === 0 ? '.' : labels.join('.');
  const host = plain ? parseHostname(text) : null;
  return ok({ name: host?.ok ? host.value : null, text, end: at });
}

function labelText(label: Uint8Array): string {
  let text = '';
  for (const byte of label) {
    text += isPlain(byte) ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

/** A letter, a digit, hyphen or underscore: a byte that stands for itself in text. */
function isPlain(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;
}

interface ReadOpt {
  readonly edns: Query['edns'];
  readonly end: number;
}

/** Reads the OPT record at `start` (RFC 6891 §6.1.2): root owner, version 0, no extended rcode, known options. */
function readOpt(packet: Uint8Array, start: number): Result<ReadOpt, QueryFault> {
  if (start + 11 > packet.length) return err('dns-truncated');
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (view.getUint8(start) !== 0 || view.getUint16(start + 1) !== TYPE.opt) return err('dns-edns');
  if (view.getUint16(start + 5) !== 0) return err('dns-edns');
  const end = start + 11 + view.getUint16(start + 9);
  if (end > packet.length) return err('dns-truncated');

  for (let at = start + 11; at < end; ) {
    if (at + 4 > end) return err('dns-edns');
    const code = view.getUint16(at);
    const length = view.getUint16(at + 2);
    if (at + 4 + length > end || !isIgnoredOption(code, length)) return err('dns-edns');
    at += 4 + length;
  }
  return ok({ edns: { udpBytes: Math.max(512, view.getUint16(start + 3)) }, end });
}

/** RFC 7873 §5.2.2: a cookie is 8, or 16 to 40 bytes. */
function isIgnoredOption(code: number, length: number): boolean {
  if (code === OPTION_COOKIE) return length === 8 || (length >= 16 && length <= 40);
  if (EMPTY_OPTIONS.has(code)) return length === 0;
  return IGNORED_OPTIONS.has(code) && length <= MAX_ALGORITHMS;
}

function bad(fault: QueryFault, rcode: Rcode | null): Result<never, BadQuery> {
  return err({ fault, rcode });
}
