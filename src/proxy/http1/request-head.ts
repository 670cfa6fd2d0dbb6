/**
 * The strict reader of request heads (RFC 9112 §2-§6, RFC 9110 §7): one exact form is a request, everything else is a
 * fault with its status.
 *
 * Pure: bytes in, a head out. The head holds validated parts only, so that what is written upstream is built, not
 * copied.
 */
import type { Authority } from '../../core/authority.js';
import type { HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { Framing, RequestHead } from '../exchange.js';
import { type AuthorityReader, type ConnectionFacts, readConnectAuthority } from './authority.js';
import { type ConnectionOptions, readConnection } from './connection-options.js';
import type { RequestFaultCode } from './fault.js';
import type { ControlFields, FieldReader, FieldSection } from './fields.js';
import { readFraming } from './framing.js';
import { isHandshakeRequest, upgradeKind } from './handshake.js';
import { parseRequestLine, type RequestLine } from './request-line.js';
import { trimBlanks } from './syntax.js';
import { parseTarget } from './target.js';

export interface RequestReading {
  readonly facts: ConnectionFacts;
  readonly authorities: AuthorityReader;
  readonly fields: FieldReader;
  /** Content longer than this is refused before any of it is asked for. Bytes; Infinity for no limit. */
  readonly contentBytes: number;
}

export type ParsedRequest =
  | { readonly kind: 'request'; readonly head: RequestHead; readonly persistent: boolean }
  | { readonly kind: 'connect'; readonly authority: Authority };

/** Reads `text`, the Latin-1 of one whole head with its empty line (as `scanHead` measured it). */
export function parseRequestHead(
  text: string,
  reading: RequestReading,
): Result<ParsedRequest, RequestFaultCode> {
  const lineEnd = text.indexOf('\r\n');
  const line = parseRequestLine(text.slice(0, lineEnd));
  if (!line.ok) return line;
  const section = reading.fields.read(text, lineEnd + 2);
  if (!section.ok) return section;
  if (line.value.method === 'CONNECT') return readConnect(line.value, section.value.control, reading.facts);
  return readRequest(line.value, section.value, reading, text.length);
}

function readRequest(
  line: RequestLine,
  section: FieldSection,
  reading: RequestReading,
  headBytes: number,
): Result<ParsedRequest, RequestFaultCode> {
  const { method, version } = line;
  const target = parseTarget(line.target, method, reading.facts.scheme);
  if (!target.ok) return target;
  if (reading.facts.mode === 'proxy' && target.value.authority === null) return err('not-an-origin');
  const authority = reading.authorities.read(section.control.host, target.value.authority);
  if (!authority.ok) return authority;
  const options = readConnection(section);
  if (!options.ok) return options;
  const framing = readContent(line, section.control, reading.contentBytes);
  if (!framing.ok) return framing;
  const expects = readExpectation(section.control, version, framing.value);
  if (!expects.ok) return expects;
  const upgrade = readUpgrade(line, section.control, options.value, framing.value);
  if (!upgrade.ok) return upgrade;
  const dropped = droppedOf(section, options.value);
  const head: RequestHead = {
    method,
    authority: authority.value,
    path: target.value.path,
    headers: withTrailerField(options.value.endToEnd, section.control, framing.value),
    version,
    framing: framing.value,
    wantsTrailers: wantsTrailers(section.control.te),
    upgrade: upgrade.value,
    expectsContinue: expects.value,
    headBytes,
    ...(dropped.length > 0 && { dropped }),
  };
  // An HTTP/1.0 client may mean `keep-alive` for somebody before us (RFC 9112 §9.3): it gets one answer.
  return ok({ kind: 'request', head, persistent: version === '1.1' && !options.value.close });
}

function droppedOf({ endToEnd, dropped }: FieldSection, options: ConnectionOptions): HeaderList {
  if (options.endToEnd.length === endToEnd.length) return dropped;
  const kept = new Set(options.endToEnd);
  return [...dropped, ...endToEnd.filter(field => !kept.has(field))];
}

function readContent(
  line: RequestLine,
  control: ControlFields,
  limit: number,
): Result<Framing, RequestFaultCode> {
  const framing = readFraming(control, line.version);
  if (!framing.ok || framing.value.kind !== 'length') return framing;
  const { bytes } = framing.value;
  // An origin that ignores the content of a GET reads it as the next request (RFC 9110 §9.3.1).
  if (bytes > 0 && !mayHaveContent(line.method)) return err('content-not-expected');
  return bytes > limit ? err('content-too-large') : framing;
}

/** False for the methods whose content has no meaning and is therefore somebody's second request. */
export function mayHaveContent(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

function readExpectation(
  { expect }: ControlFields,
  version: '1.0' | '1.1',
  framing: Framing,
): Result<boolean, RequestFaultCode> {
  // An HTTP/1.0 client cannot wait for a 100 (RFC 9110 §10.1.1).
  if (expect === null || version === '1.0') return ok(false);
  if (expect.toLowerCase() !== '100-continue') return err('bad-expectation');
  return ok(framing.kind === 'chunked' || (framing.kind === 'length' && framing.bytes > 0));
}

/** Only a valid WebSocket handshake is an upgrade; other protocols are answered as HTTP/1.1 (RFC 9110 §7.8). */
function readUpgrade(
  { method, version }: RequestLine,
  { upgrade }: ControlFields,
  options: ConnectionOptions,
  framing: Framing,
): Result<'websocket' | null, RequestFaultCode> {
  if (upgrade === null || version === '1.0') return ok(null);
  const kind = upgradeKind(upgrade);
  if (kind === 'other') return ok(null);
  const hasContent = framing.kind === 'chunked' || (framing.kind === 'length' && framing.bytes > 0);
  const valid = kind === 'websocket' && method === 'GET' && options.upgrade && !hasContent;
  return valid && isHandshakeRequest(options.endToEnd) ? ok('websocket') : err('bad-upgrade');
}

function wantsTrailers(te: string | null): boolean {
  return te?.split(',').some(part => trimBlanks(part).toLowerCase() === 'trailers') ?? false;
}

/** Trailer announces what only chunked content can bring. */
function withTrailerField(headers: HeaderList, { trailer }: ControlFields, framing: Framing): HeaderList {
  return trailer !== null && framing.kind === 'chunked' ? [...headers, ['Trailer', trailer]] : headers;
}

function readConnect(
  line: RequestLine,
  control: ControlFields,
  facts: ConnectionFacts,
): Result<ParsedRequest, RequestFaultCode> {
  if (facts.mode !== 'proxy') return err('method-not-supported');
  // Content of a CONNECT has no meaning (RFC 9110 §9.3.6): it would be tunnel bytes to one reader.
  if (control.contentLength !== null || control.transferEncoding !== null) return err('content-not-expected');
  const authority = readConnectAuthority(line.target, control.host);
  return authority.ok ? ok({ kind: 'connect', authority: authority.value }) : authority;
}
