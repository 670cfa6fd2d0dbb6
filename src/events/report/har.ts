/**
 * Recorded requests as HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/), which browsers' developer
 * tools open.
 *
 * Pure; one entry at a time. Events hold no headers, so that lists of them are empty; contents stand in it where they
 * were captured. What the format has no place for has a name that begins with an underscore.
 */
import type { BodyEvent, Event, NetworkEvent, Timings } from '../event.js';

export interface HarOptions {
  /** Of the program. */
  readonly version: string;
}

/** What comes before the entries, between them, and after them. */
export function harFrame({ version }: HarOptions): {
  readonly head: string;
  readonly between: string;
  readonly tail: string;
} {
  const creator = JSON.stringify({ name: 'Sallyport', version });
  return {
    head: `{"log":{"version":"1.2","creator":${creator},"pages":[],"entries":[\n`,
    between: ',\n',
    tail: '\n]}}\n',
  };
}

/** Requests whose contents were told and whose end was not. */
const MOST_OPEN = 4_096;

interface Captured {
  request?: BodyEvent;
  response?: BodyEvent;
}

/** Makes entries of events in their order: captured contents come before the end of their request. */
export class HarWriter {
  readonly #captured = new Map<string, Captured>();

  /** The entry that `event` completes, else null. */
  entry(event: Event): object | null {
    const { type, network, body, gateway_id } = event;
    if (body !== undefined) this.#keep(`${gateway_id} ${body.request}`, body);
    if (network === undefined || !ENDS.has(type) || network.url === '') return null;
    const key = `${gateway_id} ${network.request}`;
    const captured = this.#captured.get(key) ?? {};
    this.#captured.delete(key);
    return entryOf(event, network, captured);
  }

  #keep(key: string, body: BodyEvent): void {
    const known = this.#captured.get(key) ?? {};
    known[body.side] = body;
    this.#captured.delete(key);
    this.#captured.set(key, known);
    if (this.#captured.size <= MOST_OPEN) return;
    const [oldest] = this.#captured.keys();
    if (oldest !== undefined) this.#captured.delete(oldest);
  }
}

const ENDS: ReadonlySet<string> = new Set(['request.done', 'request.refused', 'request.failed']);

function entryOf(event: Event, network: NetworkEvent, captured: Captured): object {
  const timings = timingsOf(network.timings, network.duration_ms);
  const { dns, connect, send, wait, receive } = timings;
  const time = [dns, connect, send, wait, receive].reduce((sum, ms) => sum + Math.max(0, ms), 0);
  const { destination, flow, layer } = network;
  return {
    startedDateTime: new Date(event.timestamp - time).toISOString(),
    time: rounded(time),
    request: requestOf(network, captured.request),
    response: responseOf(network, captured.response),
    cache: {},
    timings,
    ...(destination !== null && { serverIPAddress: addressOf(destination) }),
    ...(flow !== null && { connection: flow }),
    ...(layer === 'websocket' && { _resourceType: 'websocket' }),
    _sallyport: sallyportOf(event, network),
  };
}

function requestOf(network: NetworkEvent, body: BodyEvent | undefined): object {
  const { method, url, protocol } = network;
  return {
    method,
    url,
    httpVersion: versionOf(protocol),
    cookies: [],
    headers: [],
    queryString: queryOf(url),
    ...(body !== undefined && body.size > 0 && { postData: postDataOf(body) }),
    headersSize: -1,
    bodySize: body?.size ?? -1,
  };
}

/** The format has no coding for what was sent: bytes that are no text are told of in a comment. */
function postDataOf({ mime_type, text, encoding, size, truncated }: BodyEvent): object {
  return {
    mimeType: mime_type,
    text,
    ...(encoding === 'base64' && { _encoding: 'base64', comment: 'the text is base64' }),
    ...(truncated && { _truncated: size }),
  };
}

function responseOf(network: NetworkEvent, body: BodyEvent | undefined): object {
  const { status_code, protocol, response_bytes, location, reason } = network;
  return {
    status: status_code,
    statusText: '',
    httpVersion: versionOf(protocol),
    cookies: [],
    headers: [],
    content: body === undefined ? uncaptured(response_bytes) : contentOf(body),
    redirectURL: location ?? '',
    headersSize: -1,
    bodySize: -1,
    _transferSize: response_bytes,
    ...(reason !== null && { _error: reason }),
  };
}

function uncaptured(bytes: number): object {
  return { size: bytes, mimeType: 'x-unknown', comment: 'bytes on the wire, head included: not captured' };
}

function contentOf({ size, mime_type, text, encoding, truncated }: BodyEvent): object {
  return {
    size,
    mimeType: mime_type,
    text,
    ...(encoding === 'base64' && { encoding }),
    ...(truncated && { comment: 'the text is the beginning of the content' }),
  };
}

interface HarTimings {
  readonly blocked: number;
  readonly dns: number;
  /** The handshake included, as the format wants it. */
  readonly connect: number;
  readonly ssl: number;
  readonly send: number;
  readonly wait: number;
  readonly receive: number;
}

/** -1: there was no such phase. What no phase took stands with the content's way back. */
function timingsOf(timings: Timings | undefined, durationMs: number): HarTimings {
  const { dns_ms = null, connect_ms = null, tls_ms = null, first_byte_ms = null } = timings ?? {};
  const total = timings?.total_ms ?? durationMs;
  const connect = connect_ms === null && tls_ms === null ? -1 : rounded((connect_ms ?? 0) + (tls_ms ?? 0));
  const spent = (dns_ms ?? 0) + Math.max(0, connect) + (first_byte_ms ?? 0);
  return {
    blocked: -1,
    dns: dns_ms ?? -1,
    connect,
    ssl: tls_ms ?? -1,
    send: 0,
    wait: first_byte_ms ?? 0,
    receive: rounded(Math.max(0, total - spent)),
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

/** What an archive has no word for. */
function sallyportOf({ id, type, sandbox }: Event, network: NetworkEvent): object {
  const { decision, rule, reason, block_reason, secrets, would_deny, request_bytes, response_bytes } =
    network;
  return {
    ...{ id, type, sandbox, decision, rule, reason },
    ...(block_reason !== undefined && { block_reason }),
    ...(would_deny !== undefined && { would_deny }),
    ...{ secrets, request_bytes, response_bytes },
  };
}

function versionOf(protocol: string): string {
  return protocol === 'h2' ? 'HTTP/2' : protocol.replace('http/', 'HTTP/');
}

/** `1.2.3.4:443`, `[v6]:443`. */
function addressOf(destination: string): string {
  return destination.slice(0, destination.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

function queryOf(url: string): readonly { readonly name: string; readonly value: string }[] {
  const mark = url.indexOf('?');
  if (mark < 0) return [];
  return [...new URLSearchParams(url.slice(mark + 1))].map(([name, value]) => ({ name, value }));
}
