/**
 * One event, one line: JSON (RFC 8259) in printable ASCII, ended by one line feed.
 *
 * Pure. Whatever a stranger put into a name, a path or a message, the line stays one line of bounded length, parses
 * back, and holds no byte that a terminal, a log shipper or a reader of another encoding takes for more than text.
 *
 * Written out field by field, into bytes: this runs for every request.
 */
import { AsciiWriter, piece } from './ascii.js';
import type { BodyEvent, Event, ExecEvent, FileEvent, GatewayFact, NetworkEvent, Timings } from './event.js';

/** Longest string of an event, in UTF-16 code units; what is past it is counted in a marker. */
export const TEXT_LIMIT = 2_048;

/** Longest `url`, in UTF-16 code units. */
export const URL_LIMIT = 8_192;

/** Longest `text` of a content: 256 KiB in base64, and what redaction may add. */
export const BODY_LIMIT = 360_000;

/** Most entries of a list, and most code units in all of them. */
export const LIST_LIMIT = { entries: 256, units: 16_384 } as const;

/**
 * Everything but printable ASCII: C0 and C1 controls, DEL, line and paragraph separators, bidirectional and
 * zero-width characters, surrogates. Escaping all of it needs no list that a new version of Unicode outdates.
 */
const NOT_PRINTABLE = /[^\x20-\x7e]/g;

/** Printable ASCII without the quote and the backslash: means itself in a JSON string. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

const writer = new AsciiWriter();

/** The line of `event`, line feed included. */
export function encodeEvent(event: Event): string {
  writer.reset();
  writeLine(writer, event);
  return writer.text();
}

/** Writes the line of `event`, line feed included. */
export function writeLine(w: AsciiWriter, event: Event): void {
  writeEvent(w, event);
  w.byte(LINE_FEED);
}

/** Writes `event`, without a line feed: to stand within another record. */
export function writeEvent(w: AsciiWriter, event: Event): void {
  const { network, exec, file, body, gateway } = event;
  w.reserve(0);
  w.put(HEAD.version);
  w.number(event.version);
  w.put(HEAD.id);
  quote(w, event.id);
  w.put(HEAD.type);
  quote(w, event.type);
  w.put(HEAD.timestamp);
  w.number(event.timestamp);
  w.put(HEAD.seq);
  w.number(event.seq);
  w.put(HEAD.gatewayId);
  quote(w, event.gateway_id);
  w.put(HEAD.sandbox);
  quoteOrNull(w, event.sandbox);
  if (network !== undefined) writeNetwork(w, network);
  if (exec !== undefined) writeExec(w, exec);
  if (file !== undefined) writeFile(w, file);
  if (body !== undefined) writeBody(w, body);
  if (gateway !== undefined) writeFact(w, gateway);
  w.byte(END);
}

const LINE_FEED = 0x0a;
const END = 0x7d;

const HEAD = {
  version: piece('{"version":'),
  id: piece(',"id":'),
  type: piece(',"type":'),
  timestamp: piece(',"timestamp":'),
  seq: piece(',"seq":'),
  gatewayId: piece(',"gateway_id":'),
  sandbox: piece(',"sandbox":'),
} as const;

/** `text` with everything but printable ASCII written as \uXXXX: what a terminal may be shown. */
export function printable(text: string): string {
  return PLAIN.test(text) ? text : text.replace(NOT_PRINTABLE, escapeUnit);
}

/** `text`, or its first `limit` code units and the marker `…[+N]` that counts the rest. */
export function cut(text: string, limit: number = TEXT_LIMIT): string {
  if (text.length <= limit) return text;
  // A pair of surrogates is kept or left out, never parted.
  const kept = (text.charCodeAt(limit - 1) & 0xfc00) === 0xd800 ? limit - 1 : limit;
  return `${text.slice(0, kept)}…[+${text.length - kept}]`;
}

/** Any JSON value in printable ASCII, without a line feed: what JSON.stringify leaves unescaped is written as \uXXXX. */
export function encodeAscii(value: unknown): string {
  return JSON.stringify(value).replace(NOT_PRINTABLE, escapeUnit);
}

const NETWORK = {
  layer: piece(',"network":{"layer":'),
  decision: piece(',"decision":'),
  flow: piece(',"flow":'),
  request: piece(',"request":'),
  method: piece(',"method":'),
  url: piece(',"url":'),
  host: piece(',"host":'),
  port: piece(',"port":'),
  status: piece(',"status_code":'),
  requestBytes: piece(',"request_bytes":'),
  responseBytes: piece(',"response_bytes":'),
  duration: piece(',"duration_ms":'),
  blocked: piece(',"blocked":true'),
  passed: piece(',"blocked":false'),
  blockReason: piece(',"block_reason":'),
  reason: piece(',"reason":'),
  rule: piece(',"rule":'),
  destination: piece(',"destination":'),
  protocol: piece(',"protocol":'),
  secrets: piece(',"secrets":'),
  generation: piece(',"generation":'),
  wouldDeny: piece(',"would_deny":'),
  location: piece(',"location":'),
  traceparent: piece(',"traceparent":'),
  annotations: piece(',"annotations":'),
} as const;

function writeNetwork(w: AsciiWriter, network: NetworkEvent): void {
  w.put(NETWORK.layer);
  quote(w, network.layer);
  w.put(NETWORK.decision);
  quote(w, network.decision);
  w.put(NETWORK.flow);
  quoteOrNull(w, network.flow);
  w.put(NETWORK.request);
  quoteOrNull(w, network.request);
  w.put(NETWORK.method);
  quote(w, network.method);
  w.put(NETWORK.url);
  quote(w, network.url, URL_LIMIT);
  w.put(NETWORK.host);
  quote(w, network.host);
  writeCounts(w, network);
  if (network.block_reason !== undefined) {
    w.put(NETWORK.blockReason);
    quote(w, network.block_reason);
  }
  w.put(NETWORK.reason);
  quoteOrNull(w, network.reason);
  w.put(NETWORK.rule);
  quoteOrNull(w, network.rule);
  w.put(NETWORK.destination);
  quoteOrNull(w, network.destination);
  w.put(NETWORK.protocol);
  quote(w, network.protocol);
  w.put(NETWORK.secrets);
  quoteList(w, network.secrets);
  w.put(NETWORK.generation);
  w.number(network.generation);
  if (network.timings !== undefined) writeTimings(w, network.timings);
  writeRest(w, network);
  w.byte(END);
}

function writeCounts(w: AsciiWriter, network: NetworkEvent): void {
  w.put(NETWORK.port);
  w.number(network.port);
  w.put(NETWORK.status);
  w.number(network.status_code);
  w.put(NETWORK.requestBytes);
  w.number(network.request_bytes);
  w.put(NETWORK.responseBytes);
  w.number(network.response_bytes);
  w.put(NETWORK.duration);
  w.number(network.duration_ms);
  w.put(network.blocked ? NETWORK.blocked : NETWORK.passed);
}

/** What few events have. */
function writeRest(w: AsciiWriter, network: NetworkEvent): void {
  const { would_deny, location, traceparent, annotations } = network;
  if (would_deny !== undefined) {
    w.put(NETWORK.wouldDeny);
    quote(w, would_deny);
  }
  if (location !== undefined) {
    w.put(NETWORK.location);
    quote(w, location, URL_LIMIT);
  }
  if (traceparent !== undefined) {
    w.put(NETWORK.traceparent);
    quote(w, traceparent);
  }
  if (annotations !== undefined) {
    w.put(NETWORK.annotations);
    quoteList(w, annotations);
  }
}

const TIMINGS = {
  dns: piece(',"timings":{"dns_ms":'),
  connect: piece(',"connect_ms":'),
  tls: piece(',"tls_ms":'),
  firstByte: piece(',"first_byte_ms":'),
  total: piece(',"total_ms":'),
} as const;

function writeTimings(
  w: AsciiWriter,
  { dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms }: Timings,
): void {
  w.put(TIMINGS.dns);
  w.numberOrNull(dns_ms);
  w.put(TIMINGS.connect);
  w.numberOrNull(connect_ms);
  w.put(TIMINGS.tls);
  w.numberOrNull(tls_ms);
  w.put(TIMINGS.firstByte);
  w.numberOrNull(first_byte_ms);
  w.put(TIMINGS.total);
  w.number(total_ms);
  w.byte(END);
}

// From here on once in a while, so that keys may be words.

function writeExec(w: AsciiWriter, { command, exit_code, duration_ms }: ExecEvent): void {
  w.word(',"exec":{"command":');
  quoteList(w, command);
  w.word(',"exit_code":');
  w.numberOrNull(exit_code);
  w.word(',"duration_ms":');
  w.number(duration_ms);
  w.byte(END);
}

function writeFile(w: AsciiWriter, { op, path, size, mode }: FileEvent): void {
  w.word(',"file":{"op":');
  quote(w, op);
  w.word(',"path":');
  quote(w, path);
  w.word(',"size":');
  w.numberOrNull(size);
  w.word(',"mode":');
  w.numberOrNull(mode);
  w.byte(END);
}

function writeBody(w: AsciiWriter, body: BodyEvent): void {
  w.word(',"body":{"flow":');
  quote(w, body.flow);
  w.word(',"request":');
  quote(w, body.request);
  w.word(',"side":');
  quote(w, body.side);
  w.word(',"mime_type":');
  quote(w, body.mime_type);
  w.word(',"size":');
  w.number(body.size);
  w.word(',"encoding":');
  quote(w, body.encoding);
  w.word(',"text":');
  quote(w, body.text, BODY_LIMIT);
  w.word(body.truncated ? ',"truncated":true}' : ',"truncated":false}');
}

function writeFact(w: AsciiWriter, { message, detail }: GatewayFact): void {
  w.word(',"gateway":{"message":');
  quote(w, message);
  w.word(',"detail":');
  quoteList(w, detail);
  w.byte(END);
}

/** Writes `text`, cut, as a JSON string in printable ASCII. */
export function quote(w: AsciiWriter, text: string, limit: number = TEXT_LIMIT): void {
  if (text.length <= limit && w.plain(text)) return;
  // What JSON.stringify leaves unescaped stands inside the quotes, where \uXXXX means the same (RFC 8259 §7).
  w.escaped(JSON.stringify(cut(text, limit)).replace(NOT_PRINTABLE, escapeUnit));
}

function quoteOrNull(w: AsciiWriter, text: string | null): void {
  if (text === null) w.word('null');
  else quote(w, text);
}

function quoteList(w: AsciiWriter, list: readonly string[]): void {
  let units = 0;
  w.byte(LIST_BEGIN);
  for (let i = 0; i < list.length; i++) {
    const item = list[i] ?? '';
    if (i > 0) w.byte(COMMA);
    units += Math.min(item.length, TEXT_LIMIT);
    if (i === LIST_LIMIT.entries || units > LIST_LIMIT.units) {
      quote(w, `…[+${list.length - i}]`);
      break;
    }
    quote(w, item);
  }
  w.byte(LIST_END);
}

const COMMA = 0x2c;
const LIST_BEGIN = 0x5b;
const LIST_END = 0x5d;

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
