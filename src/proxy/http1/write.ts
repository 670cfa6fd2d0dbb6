/**
 * Heads and chunks as they are written (RFC 9112 §3, §4, §7.1): built from parts, each checked on its way out, so that
 * no field, path or method can say more than it is.
 *
 * Pure. Text is Latin-1. A part that cannot be written is a bug or an attack further up and throws `GatewayError`.
 */
import { GatewayError, type GatewayErrorCode } from '../../core/errors.js';
import { type HeaderList, isRepeated } from '../../core/headers.js';
import type { Framing } from '../exchange.js';
import { passage } from './fields.js';
import { isFieldValue, isToken, valueEnd } from './syntax.js';
import { isPath } from './target.js';

/** `connection` is a whole field line with its CRLF, or empty: what this hop says. */
export function emitRequestHead(
  method: string,
  path: string,
  host: string,
  headers: HeaderList,
  framing: Framing,
  connection: string,
): string {
  if (!isToken(method) || !isPath(path)) throw unwritable('CLIENT_PROTOCOL', 'the request line');
  if (host === '' || !isFieldValue(host)) throw unwritable('CLIENT_PROTOCOL', 'Host');
  const fields = emitFields(headers, 'CLIENT_PROTOCOL');
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}${framingLine(framing)}${connection}\r\n`;
}

export function emitResponseHead(
  status: number,
  reason: string,
  headers: HeaderList,
  framing: Framing,
  connection: string,
): string {
  const known = answered.get(headers);
  if (known !== undefined && known.status === status && known.reason === reason) {
    if (known.connection === connection && isSame(known.framing, framing)) return known.text;
  }
  if (!Number.isInteger(status) || status < 100 || status > 599)
    throw unwritable('UPSTREAM_PROTOCOL', 'the status');
  if (valueEnd(reason, 0) !== reason.length) throw unwritable('UPSTREAM_PROTOCOL', 'the reason');
  const fields = emitFields(headers, 'UPSTREAM_PROTOCOL');
  const text = `HTTP/1.1 ${status} ${reason}\r\n${fields}${framingLine(framing)}${connection}\r\n`;
  if (isRepeated(headers)) answered.set(headers, { status, reason, framing, connection, text });
  return text;
}

/** The last head with a list that comes again: put together once, and in one piece once it was written. */
const answered = new WeakMap<
  HeaderList,
  { status: number; reason: string; framing: Framing; connection: string; text: string }
>();

/** Of lists that come again and again. One that holds a value goes with the view of the secrets that it is kept in. */
const written = new WeakMap<HeaderList, string>();

/**
 * The field lines of `headers`, without those that end at this hop. Throws for one that frames a message. The error
 * names no value: it may be a secret.
 */
export function emitFields(headers: HeaderList, code: GatewayErrorCode): string {
  const known = written.get(headers);
  if (known !== undefined) return known;
  let text = '';
  for (const [name, value] of headers) {
    const way = passage(name);
    if (way === 'skip') continue;
    if (way === 'never' || !isToken(name) || !isFieldValue(value)) throw unwritable(code, 'a field');
    text += `${name}: ${value}\r\n`;
  }
  if (isRepeated(headers)) written.set(headers, text);
  return text;
}

function isSame(one: Framing, other: Framing): boolean {
  if (one.kind === 'length') return other.kind === 'length' && one.bytes === other.bytes;
  return one.kind === other.kind;
}

function framingLine(framing: Framing): string {
  if (framing.kind === 'length') return `Content-Length: ${framing.bytes}\r\n`;
  return framing.kind === 'chunked' ? 'Transfer-Encoding: chunked\r\n' : '';
}

function unwritable(code: GatewayErrorCode, what: string): GatewayError {
  return new GatewayError(code, `${what} cannot be written as HTTP/1.1`);
}

/** The line that begins a chunk of `bytes` bytes, at least one. */
export function emitChunkSize(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

/** The last chunk and the trailer section. */
export function emitLastChunk(trailers: HeaderList, code: GatewayErrorCode): string {
  return `0\r\n${emitFields(trailers, code)}\r\n`;
}

/** Text is Latin-1 on both sides of the bytes. */
export function joinedText(before: string, body: Uint8Array, after: string): Buffer {
  const whole = Buffer.allocUnsafe(before.length + body.length + after.length);
  whole.write(before, 'latin1');
  whole.set(body, before.length);
  if (after !== '') whole.write(after, before.length + body.length, 'latin1');
  return whole;
}
