/**
 * Answers to a sandbox's query, written around the bytes of its question (RFC 1035 §4.1, RFC 6891, RFC 8914).
 *
 * Pure. An address costs 16 or 28 bytes over the query, an error code at most 28: nobody is amplified.
 */
import type { IpAddress } from '../core/address.js';
import { DNS_HEADER_BYTES, type Query, type Rcode } from './message.js';

/** What UDP carries at most, whatever the asker offers (RFC 9715): a datagram that no link fragments. */
export const MAX_UDP_BYTES = 1232;

const QR = 0x80;
const TC = 0x02;
const RD = 0x01;
const RA = 0x80;
const CD = 0x10;
const OPTION_EXTENDED_ERROR = 15;
/** RFC 8914 §4.16: on a list of the operator's. */
export const EDE_BLOCKED = 15;

export type Transport = 'udp' | 'tcp';

export type Data =
  | { readonly kind: 'address'; readonly address: IpAddress }
  /** A name for a PTR answer. */
  | { readonly kind: 'name'; readonly name: string };

export interface Reply {
  readonly rcode: Rcode;
  readonly answers: readonly Data[];
  readonly ttlSeconds: number;
  /** RFC 8914; written only to an asker that spoke EDNS. At most 22 ASCII characters are kept. */
  readonly error?: { readonly code: number; readonly text: string };
}

/** The answer's bytes; over UDP cut down to its question, with TC set, where it is too long (RFC 2181 §9). */
export function emitReply(query: Query, reply: Reply, transport: Transport): Uint8Array {
  const opt = query.edns === null ? EMPTY : emitOpt(reply.error);
  const records = reply.answers.map(data => emitRecord(data, reply.ttlSeconds));
  const length = DNS_HEADER_BYTES + query.question.length + opt.length + totalLength(records);
  const limit = transport === 'tcp' ? 65_535 : Math.min(query.edns?.udpBytes ?? 512, MAX_UDP_BYTES);
  const cut = length > limit;

  const kept = cut ? [] : records;
  const header = emitHeader(query, reply.rcode, cut, kept.length);
  return concat([header, query.question, ...kept, opt]);
}

/**
 * The answer to a query that could not be read: its header alone, id, opcode and RD kept (RFC 1035 §4.1.1).
 * `packet` holds at least the header.
 */
export function emitFault(packet: Uint8Array, rcode: Rcode): Uint8Array {
  const header = new Uint8Array(DNS_HEADER_BYTES);
  header.set(packet.subarray(0, 2));
  header[2] = QR | ((packet[2] ?? 0) & (0x78 | RD));
  header[3] = RA | rcode;
  return header;
}

const EMPTY = new Uint8Array(0);

function emitHeader(query: Query, rcode: Rcode, cut: boolean, answers: number): Uint8Array {
  const header = new Uint8Array(DNS_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint16(0, query.id);
  header[2] = QR | (cut ? TC : 0) | (query.recursionDesired ? RD : 0);
  header[3] = RA | (query.checkingDisabled ? CD : 0) | rcode;
  view.setUint16(4, 1);
  view.setUint16(6, answers);
  view.setUint16(10, query.edns === null ? 0 : 1);
  return header;
}

/** A record whose owner is the question's name, by a pointer to it. */
function emitRecord(data: Data, ttlSeconds: number): Uint8Array {
  const payload = data.kind === 'address' ? data.address.bytes : emitName(data.name);
  const record = new Uint8Array(12 + payload.length);
  const view = new DataView(record.buffer);
  view.setUint16(0, 0xc000 | DNS_HEADER_BYTES);
  view.setUint16(2, data.kind === 'name' ? 12 : data.address.family === 4 ? 1 : 28);
  view.setUint16(4, 1);
  view.setUint32(6, ttlSeconds);
  view.setUint16(10, payload.length);
  record.set(payload, 12);
  return record;
}

/** The wire form of a canonical host name: ASCII labels of 1-63. */
function emitName(name: string): Uint8Array {
  const parts = name
    .split('.')
    .map(label => Uint8Array.from([label.length, ...Buffer.from(label, 'latin1')]));
  return concat([...parts, Uint8Array.of(0)]);
}

function emitOpt(error: Reply['error']): Uint8Array {
  const text = error === undefined ? '' : error.text.slice(0, 22);
  const opt = new Uint8Array(error === undefined ? 11 : 17 + text.length);
  const view = new DataView(opt.buffer);
  view.setUint16(1, 41);
  view.setUint16(3, MAX_UDP_BYTES);
  if (error === undefined) return opt;
  view.setUint16(9, 6 + text.length);
  view.setUint16(11, OPTION_EXTENDED_ERROR);
  view.setUint16(13, 2 + text.length);
  view.setUint16(15, error.code);
  opt.set(Buffer.from(text, 'latin1'), 17);
  return opt;
}

function totalLength(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(totalLength(parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
