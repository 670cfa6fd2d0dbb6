/**
 * One event, one line: JSON (RFC 8259) in printable ASCII, ended by one line feed.
 *
 * Pure. Whatever a stranger put into a name, a path or a message, the line stays one line of bounded length, parses
 * back, and holds no byte that a terminal, a log shipper or a reader of another encoding takes for more than text.
 *
 * Written out field by field: this runs for every request, and JSON.stringify takes three times as long.
 */
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

/** The line of `event`, line feed included. */
export function encodeEvent(event: Event): string {
  return `${encodeObject(event)}\n`;
}

/** As `encodeEvent`, without the line feed: to stand within another record. */
export function encodeObject(event: Event): string {
  const { version, id, type, timestamp, seq, gateway_id, sandbox, network, exec, file, body, gateway } =
    event;
  return (
    `{"version":${version},"id":${quote(id)},"type":"${type}","timestamp":${number(timestamp)},"seq":${seq}` +
    `,"gateway_id":${quote(gateway_id)},"sandbox":${quoteOrNull(sandbox)}` +
    (network === undefined ? '' : `,"network":${encodeNetwork(network)}`) +
    (exec === undefined ? '' : `,"exec":${encodeExec(exec)}`) +
    (file === undefined ? '' : `,"file":${encodeFile(file)}`) +
    (body === undefined ? '' : `,"body":${encodeBody(body)}`) +
    (gateway === undefined ? '}' : `,"gateway":${encodeFact(gateway)}}`)
  );
}

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

function encodeNetwork(network: NetworkEvent): string {
  const { layer, decision, port, status_code, blocked, block_reason, generation } = network;
  const { timings, would_deny, location, traceparent, annotations } = network;
  return (
    `{"layer":"${layer}","decision":"${decision}"` +
    `,"flow":${quoteOrNull(network.flow)},"request":${quoteOrNull(network.request)}` +
    `,"method":${quote(network.method)},"url":${quote(network.url, URL_LIMIT)}` +
    `,"host":${quote(network.host)},"port":${number(port)},"status_code":${number(status_code)}` +
    `,"request_bytes":${number(network.request_bytes)},"response_bytes":${number(network.response_bytes)}` +
    `,"duration_ms":${number(network.duration_ms)},"blocked":${blocked}` +
    (block_reason === undefined ? '' : `,"block_reason":${quote(block_reason)}`) +
    `,"reason":${quoteOrNull(network.reason)},"rule":${quoteOrNull(network.rule)}` +
    `,"destination":${quoteOrNull(network.destination)},"protocol":${quote(network.protocol)}` +
    `,"secrets":${quoteList(network.secrets)},"generation":${number(generation)}` +
    (timings === undefined ? '' : `,"timings":${encodeTimings(timings)}`) +
    (would_deny === undefined ? '' : `,"would_deny":${quote(would_deny)}`) +
    (location === undefined ? '' : `,"location":${quote(location, URL_LIMIT)}`) +
    (traceparent === undefined ? '' : `,"traceparent":${quote(traceparent)}`) +
    (annotations === undefined ? '}' : `,"annotations":${quoteList(annotations)}}`)
  );
}

function encodeTimings({ dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms }: Timings): string {
  return (
    `{"dns_ms":${numberOrNull(dns_ms)},"connect_ms":${numberOrNull(connect_ms)},"tls_ms":${numberOrNull(tls_ms)}` +
    `,"first_byte_ms":${numberOrNull(first_byte_ms)},"total_ms":${number(total_ms)}}`
  );
}

function encodeExec({ command, exit_code, duration_ms }: ExecEvent): string {
  return (
    `{"command":${quoteList(command)},"exit_code":${numberOrNull(exit_code)}` +
    `,"duration_ms":${number(duration_ms)}}`
  );
}

function encodeFile({ op, path, size, mode }: FileEvent): string {
  return `{"op":"${op}","path":${quote(path)},"size":${numberOrNull(size)},"mode":${numberOrNull(mode)}}`;
}

function encodeBody({ flow, request, side, mime_type, size, encoding, text, truncated }: BodyEvent): string {
  return (
    `{"flow":${quote(flow)},"request":${quote(request)},"side":"${side}","mime_type":${quote(mime_type)}` +
    `,"size":${number(size)},"encoding":"${encoding}","text":${quote(text, BODY_LIMIT)},"truncated":${truncated}}`
  );
}

function encodeFact({ message, detail }: GatewayFact): string {
  return `{"message":${quote(message)},"detail":${quoteList(detail)}}`;
}

function quote(text: string, limit: number = TEXT_LIMIT): string {
  if (text.length <= limit && PLAIN.test(text)) return `"${text}"`;
  // What JSON.stringify leaves unescaped stands inside the quotes, where \uXXXX means the same (RFC 8259 §7).
  return JSON.stringify(cut(text, limit)).replace(NOT_PRINTABLE, escapeUnit);
}

function quoteOrNull(text: string | null): string {
  return text === null ? 'null' : quote(text);
}

function quoteList(list: readonly string[]): string {
  if (list.length === 0) return '[]';
  const kept: string[] = [];
  let units = 0;
  for (const item of list) {
    units += Math.min(item.length, TEXT_LIMIT);
    if (kept.length === LIST_LIMIT.entries || units > LIST_LIMIT.units) {
      kept.push(quote(`…[+${list.length - kept.length}]`));
      break;
    }
    kept.push(quote(item));
  }
  return `[${kept.join(',')}]`;
}

/** As JSON.stringify: what is not finite is null. */
function number(value: number): string {
  return Number.isFinite(value) ? `${value}` : 'null';
}

function numberOrNull(value: number | null): string {
  return value === null ? 'null' : number(value);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
