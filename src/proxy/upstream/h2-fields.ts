/**
 * Heads between the gateway's own form and HTTP/2's (RFC 9113 §8.2, §8.3), for the upstream side.
 *
 * Pure.
 */
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { OutboundRequest } from '../connection.js';
import type { Framing, ResponseHead } from '../exchange.js';
import { parseContentLength } from '../http1/framing.js';
import { isFieldValue, isToken, targetEnd } from '../http1/syntax.js';
import { type CommonFields, type MessageFields, WrittenFields } from '../http2/hpack-encoder.js';
import { LastList } from '../http2/last-list.js';

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
  | 'proxy-authentication'
  | 'repeated-field';

/** Fields that a message has once (RFC 9110): two of them have two readings, and many servers join them. */
const SINGLE: ReadonlySet<string> = new Set([
  'authorization',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'from',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'max-forwards',
  'range',
  'referer',
  'user-agent',
]);

const written = new WrittenFields();

/** The field list of a request's HEADERS: names in lower case, everything in the order that it has. */
export function requestFields(request: OutboundRequest): Result<MessageFields, FieldFault> {
  const { head, path, host, headers, body, sensitive } = request;
  if (!isToken(head.method)) return err('bad-method');
  if (path.length === 0 || targetEnd(path, 0) !== path.length) return err('bad-path');
  if (!isFieldValue(host)) return err('bad-field');
  const common = commonFields(headers, sensitive);
  if (!common.ok) return common;
  const before: HeaderList = [
    [':method', head.method],
    [':scheme', head.authority.scheme],
    [':authority', host],
    [':path', path],
  ];
  const after: HeaderField[] = [];
  if (head.wantsTrailers) after.push(['te', 'trailers']);
  if (head.framing.kind === 'length') {
    // A body that is whole may have got its secrets: its own length is the truth.
    after.push(['content-length', String(body instanceof Uint8Array ? body.length : head.framing.bytes)]);
  }
  return ok({ before, common: common.value, after });
}

function commonFields(headers: HeaderList, sensitive: ReadonlySet<string>): Result<CommonFields, FieldFault> {
  const known = written.get(headers, sensitive);
  if (known !== null) return ok(known);
  const fields = messageFields(headers);
  return fields.ok ? ok(written.keep(headers, sensitive, fields.value)) : fields;
}

/** The field list of the trailers. */
export function trailerFields(trailers: HeaderList): Result<HeaderList, FieldFault> {
  return messageFields(trailers);
}

function messageFields(list: HeaderList): Result<HeaderList, FieldFault> {
  const fields: HeaderField[] = [];
  for (const [name, value] of list) {
    if (!isToken(name) || !isFieldValue(value)) return err('bad-field');
    const lower = name.toLowerCase();
    if (CONNECTION_SPECIFIC.has(lower) || lower === 'host') return err('connection-specific');
    if (SINGLE.has(lower) && fields.some(([earlier]) => earlier === lower)) return err('repeated-field');
    fields.push([lower, value]);
  }
  return ok(fields);
}

/** Whether a field list begins an interim answer (RFC 9110 §15.2). */
export function isInterim([first]: HeaderList): boolean {
  return first !== undefined && first[0] === ':status' && first[1].startsWith('1');
}

/** Reads the heads of one connection's answers. */
export class AnswerReader {
  readonly #last = new LastList<ResponseHead>(({ headers }) => headers);
  #method = '';

  /** As `parseAnswerHead`. What it gives must not be changed. */
  read(fields: HeaderList, method: string): Result<ResponseHead, FieldFault> {
    // The same fields frame another content in the answer to a HEAD.
    const known = method === this.#method ? this.#last.again(fields, 0) : null;
    if (known !== null) return ok(known);
    const head = parseAnswerHead(fields, method);
    this.#method = method;
    this.#last.keep(fields, 0, head.ok ? head.value : null);
    return head;
  }
}

/** Reads the final head of an answer. */
export function parseAnswerHead(fields: HeaderList, method: string): Result<ResponseHead, FieldFault> {
  const parsed = parseFields(fields);
  if (!parsed.ok) return parsed;
  const { status, headers } = parsed.value;
  if (status < 200) return err('bad-status');
  if (status === 407) return err('proxy-authentication');
  const framing = framingOf(headers, status, method);
  if (!framing.ok) return framing;
  const endToEnd = headers.filter(([name]) => !DROPPED.has(name));
  return ok({ status, reason: '', headers: endToEnd, framing: framing.value, version: '2' });
}

/** Reads an interim head. */
export function parseInterim(
  fields: HeaderList,
): Result<{ status: number; headers: HeaderList }, FieldFault> {
  const parsed = parseFields(fields);
  if (!parsed.ok) return parsed;
  const { status } = parsed.value;
  // 101 does not exist in HTTP/2 (RFC 9113 §8.6).
  return status < 100 || status > 199 || status === 101 ? err('bad-status') : parsed;
}

/** Reads the trailers of an answer. */
export function parseTrailers(fields: HeaderList): Result<HeaderList, FieldFault> {
  for (const [name, value] of fields) {
    const fault = fieldFault(name, value);
    if (fault) return err(fault);
    if (NOT_IN_TRAILERS.has(name)) return err('forbidden-trailer');
  }
  return ok(fields);
}

/** The status stands first: it is the only pseudo-field of an answer (RFC 9113 §8.3.2). */
function parseFields(fields: HeaderList): Result<{ status: number; headers: HeaderList }, FieldFault> {
  const [first, ...headers] = fields;
  if (first === undefined || first[0] !== ':status' || !STATUS.test(first[1])) return err('bad-status');
  for (const [name, value] of headers) {
    const fault = fieldFault(name, value);
    if (fault) return err(fault);
  }
  return ok({ status: Number(first[1]), headers });
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
