/**
 * The strict reader of response heads (RFC 9112 §4, §6; RFC 9110 §15). An upstream is read as strictly as a sandbox:
 * one that can be made to answer twice answers for somebody else's request.
 *
 * Pure.
 */
import { err, ok, type Result } from '../../core/result.js';
import type { Framing, ResponseHead } from '../exchange.js';
import { type ConnectionFault, readConnection } from './connection-options.js';
import type { FieldFault, FieldReader } from './fields.js';
import { type FramingFault, NO_CONTENT, readFraming } from './framing.js';
import { upgradeKind } from './handshake.js';
import { valueEnd } from './syntax.js';

export type ResponseFault =
  | FieldFault
  | ConnectionFault
  | FramingFault
  | 'bad-status-line'
  | 'bad-status'
  | 'proxy-authentication'
  | 'content-not-expected';

export interface ParsedResponse {
  readonly head: ResponseHead;
  /** False when the upstream closes, or when it announced content that this answer cannot have. */
  readonly persistent: boolean;
  /** A 101 that names WebSocket, and nothing else, in Upgrade and nominates it. */
  readonly switches: boolean;
}

/** Reads `text`, the Latin-1 of one whole head, as the answer to a request with `method`. */
export function parseResponseHead(
  text: string,
  method: string,
  fields: FieldReader,
): Result<ParsedResponse, ResponseFault> {
  const lineEnd = text.indexOf('\r\n');
  const line = parseStatusLine(text.slice(0, lineEnd));
  if (!line.ok) return line;
  const section = fields.read(text, lineEnd + 2);
  if (!section.ok) return section;
  const options = readConnection(section.value);
  if (!options.ok) return options;
  const announced = readFraming(section.value.control, line.value.version);
  if (!announced.ok) return announced;
  const { status, reason, version } = line.value;
  const content = contentOf(status, method, announced.value);
  if (content === null) return err('content-not-expected');
  const { endToEnd, close, upgrade } = options.value;
  const { trailer, upgrade: protocol } = section.value.control;
  const head: ResponseHead = {
    status,
    reason,
    headers:
      trailer !== null && content.framing.kind === 'chunked' ? [...endToEnd, ['Trailer', trailer]] : endToEnd,
    framing: content.framing,
    version,
  };
  return ok({
    head,
    persistent: version === '1.1' && !close && !content.stray,
    switches: status === 101 && upgrade && protocol !== null && upgradeKind(protocol) === 'websocket',
  });
}

interface StatusLine {
  readonly status: number;
  readonly reason: string;
  readonly version: '1.0' | '1.1';
}

/** `HTTP-version SP 3DIGIT SP reason`; the reason may be empty, and its space with it. */
function parseStatusLine(line: string): Result<StatusLine, ResponseFault> {
  const version = line.startsWith('HTTP/1.1 ') ? '1.1' : line.startsWith('HTTP/1.0 ') ? '1.0' : null;
  if (version === null) return err('bad-status-line');
  if (valueEnd(line, 0) !== line.length) return err('bad-status-line');
  if (line.length > 12 && line.charCodeAt(12) !== 0x20) return err('bad-status-line');
  let status = 0;
  for (let i = 9; i < 12; i++) {
    const digit = line.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return err('bad-status-line');
    status = status * 10 + digit;
  }
  if (status < 100 || status > 599) return err('bad-status');
  // The gateway is no proxy to its upstream: the sandbox would answer with credentials (RFC 9110 §15.5.8).
  if (status === 407) return err('proxy-authentication');
  return ok({ status, reason: line.slice(13), version });
}

/**
 * The content that the answer has (RFC 9112 §6.3). `stray`: it announced content that it cannot have, and may yet
 * send it. Null: two readings.
 */
function contentOf(
  status: number,
  method: string,
  announced: Framing,
): { framing: Framing; stray: boolean } | null {
  const announcesContent =
    announced.kind === 'chunked' || (announced.kind === 'length' && announced.bytes > 0);
  if (status < 200 || status === 204) return { framing: NO_CONTENT, stray: announcesContent };
  // RFC 9110 §15.3.6 forbids content; clients differ in whether they read it.
  if (status === 205) return announcesContent ? null : { framing: NO_CONTENT, stray: false };
  // Both announce the length of what a GET would bring, and bring nothing.
  if (method === 'HEAD' || status === 304) return { framing: announced, stray: false };
  return { framing: announced.kind === 'none' ? { kind: 'close' } : announced, stray: false };
}

/** True when an answer to `method` with `status` is its head alone, whatever its framing fields say. */
export function isHeadOnly(status: number, method: string): boolean {
  return method === 'HEAD' || status < 200 || status === 204 || status === 205 || status === 304;
}
