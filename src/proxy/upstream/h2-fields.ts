/**
 * Heads between the gateway's own form and HTTP/2's (RFC 9113 §8.2, §8.3), for the upstream side.
 *
 * Pure. Node writes whatever it is given (a NUL in a value would begin another field) and drops on the way in what it
 * does not like, so both ways are read here.
 */
import type http2 from 'node:http2';
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { OutboundRequest } from '../connection.js';
import type { Framing, ResponseHead } from '../exchange.js';
import { parseContentLength } from '../http1/framing.js';
import { isFieldValue, isToken, targetEnd } from '../http1/syntax.js';

/** Fields of one connection, not of the message: malformed in HTTP/2 (RFC 9113 §8.2.2). */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/**
 * For the next hop only, or (Alt-Svc) an invitation to a protocol and a port that nobody decided on (RFC 7838): left
 * out, as from an HTTP/1 head.
 */
const DROPPED: ReadonlySet<string> = new Set([
  'alt-svc',
  'content-length',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
]);

/** Never in trailers: they would change how the message, already acted upon, is read (RFC 9110 §6.5.1). */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'host',
  'set-cookie',
  'te',
  'trailer',
]);

const UPPER_CASE = /[A-Z]/;
const STATUS = /^[1-5]\d\d$/;

export type FieldFault =
  | 'bad-method'
  | 'bad-path'
  | 'bad-field'
  | 'bad-status'
  | 'bad-length'
  | 'connection-specific'
  | 'forbidden-trailer'
  | 'proxy-authentication';

/** Fields for `ClientHttp2Session.request`: lower case, in order, without a prototype. */
export function requestFields(request: OutboundRequest): Result<http2.OutgoingHttpHeaders, FieldFault> {
  const { head, path, host, headers, body } = request;
  if (!isToken(head.method)) return err('bad-method');
  if (path.length === 0 || targetEnd(path, 0) !== path.length) return err('bad-path');
  if (!isFieldValue(host)) return err('bad-field');
  const fields: http2.OutgoingHttpHeaders = Object.create(null);
  fields[':method'] = head.method;
  fields[':scheme'] = head.authority.scheme;
  fields[':authority'] = host;
  fields[':path'] = path;
  const fault = addFields(fields, headers);
  if (fault) return err(fault);
  if (head.wantsTrailers) fields.te = 'trailers';
  if (head.framing.kind === 'length') {
    // A body that is whole may have got its secrets: its own length is the truth.
    fields['content-length'] = String(body instanceof Uint8Array ? body.length : head.framing.bytes);
  }
  return ok(fields);
}

/** Fields for `sendTrailers`. */
export function trailerFields(trailers: HeaderList): Result<http2.OutgoingHttpHeaders, FieldFault> {
  const fields: http2.OutgoingHttpHeaders = Object.create(null);
  const fault = addFields(fields, trailers);
  return fault ? err(fault) : ok(fields);
}

function addFields(fields: http2.OutgoingHttpHeaders, list: HeaderList): FieldFault | null {
  for (const [name, value] of list) {
    if (!isToken(name) || !isFieldValue(value)) return 'bad-field';
    const lower = name.toLowerCase();
    if (CONNECTION_SPECIFIC.has(lower) || lower === 'host') return 'connection-specific';
    const earlier = fields[lower];
    if (earlier === undefined) fields[lower] = value;
    else if (Array.isArray(earlier)) earlier.push(value);
    else fields[lower] = [String(earlier), value];
  }
  return null;
}

/** Reads the final head of an answer. `raw` is Node's list: name, value, name, value, … */
export function parseAnswerHead(raw: readonly string[], method: string): Result<ResponseHead, FieldFault> {
  const fields = parseFields(raw);
  if (!fields.ok) return fields;
  const { status, headers } = fields.value;
  if (status < 200) return err('bad-status');
  if (status === 407) return err('proxy-authentication');
  const framing = framingOf(headers, status, method);
  if (!framing.ok) return framing;
  const endToEnd = headers.filter(([name]) => !DROPPED.has(name));
  return ok({ status, reason: '', headers: endToEnd, framing: framing.value, version: '2' });
}

/** Reads an interim head. */
export function parseInterim(
  raw: readonly string[],
): Result<{ status: number; headers: HeaderList }, FieldFault> {
  const fields = parseFields(raw);
  if (!fields.ok) return fields;
  const { status } = fields.value;
  // 101 does not exist in HTTP/2 (RFC 9113 §8.6).
  return status < 100 || status > 199 || status === 101 ? err('bad-status') : fields;
}

/** Reads the trailers of an answer. */
export function parseTrailers(raw: readonly string[]): Result<HeaderList, FieldFault> {
  const headers: HeaderField[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const fault = fieldFault(name, value);
    if (fault) return err(fault);
    if (NOT_IN_TRAILERS.has(name)) return err('forbidden-trailer');
    headers.push([name, value]);
  }
  return ok(headers);
}

function parseFields(raw: readonly string[]): Result<{ status: number; headers: HeaderList }, FieldFault> {
  const headers: HeaderField[] = [];
  let status = '';
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (name === ':status' && status === '') {
      status = value;
      continue;
    }
    const fault = fieldFault(name, value);
    if (fault) return err(fault);
    headers.push([name, value]);
  }
  return STATUS.test(status) ? ok({ status: Number(status), headers }) : err('bad-status');
}

function fieldFault(name: string, value: string): FieldFault | null {
  if (!isToken(name) || UPPER_CASE.test(name) || !isFieldValue(value)) return 'bad-field';
  return CONNECTION_SPECIFIC.has(name) ? 'connection-specific' : null;
}

function framingOf(headers: HeaderList, status: number, method: string): Result<Framing, FieldFault> {
  let bytes: number | null = null;
  for (const [name, value] of headers) {
    if (name !== 'content-length') continue;
    if (bytes !== null) return err('bad-length');
    bytes = parseContentLength(value);
    if (bytes === null) return err('bad-length');
  }
  if (status === 204 || status === 205) return ok({ kind: 'none' });
  if (bytes !== null) return ok({ kind: 'length', bytes });
  return ok({ kind: method === 'HEAD' || status === 304 ? 'none' : 'chunked' });
}
