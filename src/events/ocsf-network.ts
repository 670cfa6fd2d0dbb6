/**
 * What an event of the network, or a content, is in OCSF: the part of a record that differs from class to class
 * (`ocsf.ts` has the rest). Pure.
 */
import { BODY_LIMIT, cut, URL_LIMIT } from './encode.js';
import type { BodyEvent, Event, NetworkEvent } from './event.js';
import type { PlainRecord } from './plain.js';

/** What differs from class to class. */
export interface Part {
  readonly classUid: number;
  readonly activityId: number;
  readonly activityName?: string | undefined;
  readonly message: string;
  readonly failed: boolean;
  readonly fields: Fields;
  readonly profiles: readonly string[] | undefined;
}

type Fields = PlainRecord;

export const UNKNOWN = 0;
export const OTHER = 99;

/** What JSON leaves out where there is none. */
export function known<T>(value: T | null): T | undefined {
  return value === null ? undefined : value;
}

const HTTP_ACTIVITY = 4002;
const DNS_ACTIVITY = 4003;
const NETWORK_ACTIVITY = 4001;
const DNS_TRAFFIC = 6;

const CONTROLLED = ['security_control'];

export function networkPart(event: Event, network: NetworkEvent): Part {
  const { layer, host, method, url, block_reason } = network;
  const isDns = layer === 'dns';
  const isHttp = layer === 'http' || layer === 'websocket';
  const what = url === '' ? host : url;
  const told = `${event.type}: ${method === '' || what === '' ? method + what : `${method} ${what}`}`;
  return {
    classUid: isHttp ? HTTP_ACTIVITY : isDns ? DNS_ACTIVITY : NETWORK_ACTIVITY,
    activityId: isHttp ? httpActivity(method) : isDns ? DNS_TRAFFIC : flowActivity(event.type),
    activityName: isHttp && method !== '' && !METHODS.has(method) ? cut(method) : undefined,
    message: block_reason === undefined ? told : `${told}: ${block_reason}`,
    failed: network.blocked || event.type === 'request.failed' || (isDns && network.reason !== null),
    profiles: CONTROLLED,
    fields: fieldsOf(event, network, isDns, isHttp),
  };
}

function fieldsOf(event: Event, network: NetworkEvent, isDns: boolean, isHttp: boolean): Fields {
  const { blocked, rule, generation, decision, reason } = network;
  const denied = blocked || decision === 'deny';
  const duration = Math.round(network.duration_ms);
  return {
    start_time: event.timestamp - duration,
    end_time: event.timestamp,
    duration,
    src_endpoint: sourceOf(event),
    dst_endpoint: targetOf(network),
    // The Security Control profile: what was decided, and by what.
    action_id: denied ? DENIED : ALLOWED,
    disposition_id: denied || event.type === 'secret.leak' ? BLOCKED : ALLOWED,
    policy: { name: 'sallyport', version: String(generation) },
    firewall_rule: rule === null ? undefined : { name: cut(rule) },
    unmapped: unmappedOf(network),
    http_request: isHttp ? requestOf(network) : undefined,
    http_response: isHttp ? responseOf(network, duration) : undefined,
    query: isDns ? { hostname: cut(network.host), type: cut(network.method), class: 'IN' } : undefined,
    rcode_id: isDns ? rcodeOf(reason, blocked) : undefined,
    connection_info: isDns ? undefined : connectionOf(network),
    traffic: isDns ? undefined : trafficOf(network),
  };
}

const ALLOWED = 1;
const DENIED = 2;
const BLOCKED = 2;

/** A content, as one more activity of the request that it belongs to. */
export function bodyPart(event: Event, body: BodyEvent): Part {
  const { request, side, size } = body;
  const type = body.mime_type === '' ? undefined : cut(body.mime_type);
  const isRequest = side === 'request';
  return {
    classUid: HTTP_ACTIVITY,
    activityId: OTHER,
    activityName: event.type,
    message: `${event.type}: ${side} of ${cut(request)}, ${size} bytes`,
    failed: false,
    profiles: undefined,
    fields: {
      src_endpoint: sourceOf(event),
      dst_endpoint: { hostname: 'unknown' },
      http_request: { uid: cut(request), length: isRequest ? size : undefined },
      http_response: isRequest ? undefined : { content_type: type, length: size },
      connection_info: {
        direction_id: OUTBOUND,
        protocol_num: TCP,
        protocol_name: 'tcp',
        uid: cut(body.flow),
      },
      unmapped: {
        side,
        mime_type: type,
        encoding: body.encoding,
        text: cut(body.text, BODY_LIMIT),
        truncated: body.truncated,
      },
    },
  };
}

/** A name that the policy refuses does not exist for the sandbox (RFC 8914 §4.16 goes with it). */
function rcodeOf(reason: string | null, blocked: boolean): number | undefined {
  if (blocked) return 3;
  return reason === null ? 0 : undefined;
}

const METHODS: ReadonlyMap<string, number> = new Map([
  ['CONNECT', 1],
  ['DELETE', 2],
  ['GET', 3],
  ['HEAD', 4],
  ['OPTIONS', 5],
  ['POST', 6],
  ['PUT', 7],
  ['TRACE', 8],
]);

function httpActivity(method: string): number {
  return METHODS.get(method) ?? (method === '' ? UNKNOWN : OTHER);
}

function requestOf({ method, url, protocol, request, request_bytes }: NetworkEvent): Fields {
  return {
    http_method: method === '' ? undefined : cut(method),
    url: url === '' ? undefined : urlOf(url),
    version: versionOf(protocol),
    uid: known(request),
    length: request_bytes,
  };
}

function responseOf({ status_code, response_bytes }: NetworkEvent, latency: number): Fields | undefined {
  return status_code === 0 ? undefined : { code: status_code, length: response_bytes, latency };
}

const HTTP_VERSION = /^http\/([\d.]+)$/;

function versionOf(protocol: string): string | undefined {
  return protocol === 'h2' ? '2' : HTTP_VERSION.exec(protocol)?.[1];
}

const URL_PARTS = /^([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^/:?#]*)(?::(\d+))?([^?#]*)(?:\?([^#]*))?/;

/** By its own grammar and not by `URL`, which would repair what stands there. */
function urlOf(url: string): Fields {
  const url_string = cut(url, URL_LIMIT);
  const [, scheme, hostname, port, path, query] = URL_PARTS.exec(url) ?? [];
  if (scheme === undefined || hostname === undefined) return { url_string };
  return {
    url_string,
    scheme,
    hostname: cut(hostname),
    port: port === undefined ? undefined : Number(port),
    path: path === undefined || path === '' ? '/' : cut(path),
    query_string: query === undefined ? undefined : cut(query),
  };
}

function sourceOf({ sandbox }: Event): Fields {
  return { uid: sandbox ?? 'unknown', type_id: UNKNOWN };
}

const DIALLED = /^\[?(.*?)\]?:\d+$/;

function targetOf({ host, port, destination }: NetworkEvent): Fields {
  const ip = destination === null ? undefined : DIALLED.exec(destination)?.[1];
  return {
    // An endpoint must be named somehow: what no name was read for is an unknown one.
    hostname: host === '' ? 'unknown' : cut(host),
    port: port === 0 ? undefined : port,
    ip: ip === '' ? undefined : ip,
  };
}

function flowActivity(type: Event['type']): number {
  if (type === 'flow.opened') return 1;
  if (type === 'flow.closed') return 2;
  return type === 'flow.refused' || type === 'tls.refused' ? 5 : 6;
}

const TCP = 6;
const UDP = 17;
const OUTBOUND = 2;

function connectionOf({ layer, flow }: NetworkEvent): Fields {
  const isUdp = layer === 'udp';
  return {
    direction_id: OUTBOUND,
    protocol_num: isUdp ? UDP : TCP,
    protocol_name: isUdp ? 'udp' : 'tcp',
    uid: known(flow),
  };
}

/** `in` and `out` as the sandbox, the source, sees them. */
function trafficOf({ request_bytes, response_bytes }: NetworkEvent): Fields {
  return { bytes: request_bytes + response_bytes, bytes_in: response_bytes, bytes_out: request_bytes };
}

function unmappedOf({ layer, protocol, reason, secrets, annotations, destination }: NetworkEvent): Fields {
  return {
    layer,
    protocol,
    reason: reason === null ? undefined : cut(reason),
    destination: known(destination),
    secrets: secrets.length === 0 ? undefined : secrets.map(name => cut(name)),
    annotations: annotations?.map(text => cut(text)),
  };
}
