/**
 * The request line (RFC 9112 §3): `method SP target SP version`, one space each, and nothing else.
 *
 * Pure. Text in, text out; the target is read by `target.ts`.
 */
import { err, ok, type Result } from '../../core/result.js';
import type { RequestFaultCode } from './fault.js';
import { tokenEnd } from './syntax.js';

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
}

/** `line` is without its CRLF. */
export function parseRequestLine(line: string): Result<RequestLine, RequestFaultCode> {
  const methodEnd = tokenEnd(line, 0);
  const targetEnd = line.indexOf(' ', methodEnd + 1);
  if (methodEnd === 0 || line.charCodeAt(methodEnd) !== 0x20) return err('bad-request-line');
  if (targetEnd <= methodEnd + 1) return err('bad-request-line');
  const method = line.slice(0, methodEnd);
  const version = parseVersion(line.slice(targetEnd + 1), method);
  if (!version.ok) return version;
  if (!METHODS.has(method)) return err('method-not-supported');
  return ok({ method, target: line.slice(methodEnd + 1, targetEnd), version: version.value });
}

const OTHER_VERSION = /^HTTP\/\d\.\d$/;

function parseVersion(text: string, method: string): Result<'1.0' | '1.1', RequestFaultCode> {
  if (text === 'HTTP/1.1') return ok('1.1');
  if (text === 'HTTP/1.0') return ok('1.0');
  // The HTTP/2 preface (RFC 9113 §3.4) is no request: this side speaks h2 only where ALPN chose it.
  if (method === 'PRI') return err('bad-request-line');
  return err(OTHER_VERSION.test(text) ? 'unsupported-version' : 'bad-version');
}

/**
 * The registered methods and the few that are in wide use, but TRACE, which sends the request's own fields back,
 * secrets included. A method that nobody knows has no known framing or safety, so it is not forwarded.
 */
const METHODS: ReadonlySet<string> = new Set(
  [
    'GET HEAD POST PUT DELETE PATCH OPTIONS CONNECT QUERY',
    'ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL',
    'MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK',
    'UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL',
    'LIST PURGE BAN NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH',
  ].flatMap(line => line.split(' ')),
);
