/**
 * A request as it is written to an upstream (RFC 9112 §3, §6): Host and framing are ours, the rest is what was decided.
 *
 * Pure.
 */
import { NO_HEADERS } from '../../core/headers.js';
import type { OutboundRequest } from '../connection.js';
import type { Framing } from '../exchange.js';
import { emitChunkSize, emitLastChunk, emitRequestHead, joinedText } from './write.js';

export interface Outbound {
  readonly head: string;
  readonly framing: Framing;
  /** Head and content in one, where the content is whole; else null. */
  readonly whole: string | Uint8Array | null;
  /** The connection must not be used again, and the request says so. */
  readonly closes: boolean;
}

/** Throws `GatewayError` CLIENT_PROTOCOL for what HTTP/1.1 cannot say. */
export function emitOutbound(request: OutboundRequest): Outbound {
  const { head: asked, body } = request;
  const framing = framingOf(request);
  // An origin that does not read the content of a GET would take it for the next request.
  const closes = framing.kind !== 'none' && (asked.method === 'GET' || asked.method === 'HEAD');
  const connection = connectionLines(request, closes);
  const head = emitRequestHead(
    asked.method,
    request.path,
    request.host,
    request.headers,
    framing,
    connection,
  );
  if (!(body instanceof Uint8Array)) return { head, framing, whole: null, closes };
  if (framing.kind === 'chunked') {
    const last = `\r\n${emitLastChunk(request.trailers(), 'CLIENT_PROTOCOL')}`;
    return { head, framing, whole: joinedText(head + emitChunkSize(body.length), body, last), closes };
  }
  return { head, framing, whole: body.length === 0 ? head : joinedText(head, body, ''), closes };
}

/** A whole body's own length is the truth; chunked only where trailers need it or the length is not known. */
function framingOf({ head, body, trailers }: OutboundRequest): Framing {
  if (!(body instanceof Uint8Array))
    return head.framing.kind === 'length' ? head.framing : { kind: 'chunked' };
  const trailing = head.framing.kind === 'chunked' ? trailers() : NO_HEADERS;
  if (trailing.length > 0 && body.length > 0) return { kind: 'chunked' };
  if (
    body.length === 0 &&
    (head.framing.kind === 'none' || head.method === 'GET' || head.method === 'HEAD')
  ) {
    return { kind: 'none' };
  }
  return { kind: 'length', bytes: body.length };
}

function connectionLines({ head }: OutboundRequest, closes: boolean): string {
  const options: string[] = [];
  let lines = '';
  if (head.upgrade === 'websocket') {
    options.push('Upgrade');
    lines += 'Upgrade: websocket\r\n';
  }
  if (head.wantsTrailers) {
    options.push('TE');
    lines += 'TE: trailers\r\n';
  }
  if (closes) options.push('close');
  return options.length === 0 ? '' : `${lines}Connection: ${options.join(', ')}\r\n`;
}
