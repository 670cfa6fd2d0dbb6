/**
 * DER values for certificates (X.690), written by node-forge's ASN.1 writer.
 *
 * Pure: typed values in, bytes out. Nothing here takes text that could be read as structure.
 */
import type forge from 'node-forge';
import asn1 from 'node-forge/lib/asn1.js';

export type Der = forge.asn1.Asn1;

const UNIVERSAL = 0x00;
const CONTEXT = 0x80;

const TYPE = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  oid: 6,
  utf8: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

/** forge keeps bytes in strings, one character a byte. */
const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

const node = (tagClass: number, type: number, constructed: boolean, value: string | Der[]): Der =>
  asn1.create(tagClass, type, constructed, value);

export const sequence = (...parts: Der[]): Der => node(UNIVERSAL, TYPE.sequence, true, parts);
export const set = (...parts: Der[]): Der => node(UNIVERSAL, TYPE.set, true, parts);
export const oid = (dotted: string): Der =>
  node(UNIVERSAL, TYPE.oid, false, asn1.oidToDer(dotted).getBytes());
export const utf8 = (text: string): Der => node(UNIVERSAL, TYPE.utf8, false, binary(Buffer.from(text)));
export const octets = (bytes: Uint8Array): Der => node(UNIVERSAL, TYPE.octetString, false, binary(bytes));
export const yes = (): Der => node(UNIVERSAL, TYPE.boolean, false, '\xff');

/** `bytes` is the big-endian two's complement: a set top bit would be a negative number. */
export const integer = (bytes: Uint8Array): Der => node(UNIVERSAL, TYPE.integer, false, binary(bytes));

export const bits = (bytes: Uint8Array, unusedBits = 0): Der =>
  node(UNIVERSAL, TYPE.bitString, false, String.fromCharCode(unusedBits) + binary(bytes));

/** An IMPLICIT primitive: `[tag]` in place of the value's own type. */
export const implicit = (tag: number, bytes: Uint8Array): Der => node(CONTEXT, tag, false, binary(bytes));
export const explicit = (tag: number, value: Der): Der => node(CONTEXT, tag, true, [value]);

/** A time in whole seconds, as RFC 5280 §4.1.2.5 wants it: UTCTime until 2049, GeneralizedTime from 2050. */
export function time(epochMs: number): Der {
  const digits = new Date(epochMs).toISOString().replaceAll(/[-:T]|\..*$/g, '');
  if (digits < '2050') return node(UNIVERSAL, TYPE.utcTime, false, `${digits.slice(2)}Z`);
  return node(UNIVERSAL, TYPE.generalizedTime, false, `${digits}Z`);
}

export function emitDer(value: Der): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1');
}

/** Bytes that are DER already, to stand inside another value. */
export function raw(der: Uint8Array): Der {
  return asn1.fromDer(binary(der));
}
