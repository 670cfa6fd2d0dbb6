/** Fields as a peer read them, in the form that ours have after reading. Pure. */
import type { HeaderList } from '../../src/core/headers.js';

const HOP_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'expect',
  'alt-svc',
  'http2-settings',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
]);

/** Without the fields of a connection. llhttp leaves blanks at the ends of a value, which are not the value's. */
export function endToEnd(fields: HeaderList): string[] {
  return fields
    .filter(([name]) => !HOP_FIELDS.has(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${trimmed(value)}`);
}

/** Without what `Connection` takes along (RFC 9110 §7.6.1). */
export function withoutNominated(fields: HeaderList): HeaderList {
  const names = valuesOf(fields, 'connection')
    .flatMap(value => value.split(','))
    .map(name => trimmed(name).toLowerCase());
  return fields.filter(([name]) => !names.includes(name.toLowerCase()));
}

/** A tab behind `chunked` is no part of the value (RFC 9110 §5.5), but then it is not the chunked coding to llhttp. */
export function hasPaddedCoding(wire: Buffer): boolean {
  return /^transfer-encoding:[^\r\n]*\t[ \t]*\r$/im.test(wire.toString('latin1'));
}

function valuesOf(fields: HeaderList, lowerName: string): string[] {
  return fields.filter(([name]) => name.toLowerCase() === lowerName).map(([, value]) => value);
}

function trimmed(value: string): string {
  return value.replace(/^[ \t]+|[ \t]+$/g, '');
}
