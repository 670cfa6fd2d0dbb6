/**
 * An event in the words of the Open Cybersecurity Schema Framework, 1.3 (https://schema.ocsf.io/1.3.0/).
 *
 * Pure. Requests are HTTP Activity (4002), look-ups DNS Activity (4003), every other traffic Network Activity (4001),
 * all with the Security Control profile; commands are Process Activity (1007), files File System Activity (1001), what the gateway says of itself is
 * Application Lifecycle (6002). What has no attribute there stands in `unmapped` under the name it has here.
 */
import { cut, encodeAscii, URL_LIMIT } from './encode.js';
import type { Event, ExecEvent, FileEvent, GatewayFact, NetworkEvent } from './event.js';

export const OCSF_VERSION = '1.3.0';

export interface OcsfSource {
  /** Of the event, the same whatever form it is told in: `metadata.uid`. */
  readonly id: string;
  /** Of the program: `metadata.product.version`. */
  readonly version: string;
}

/** A record of OCSF: plain JSON, strings as they came. */
export type OcsfRecord = Readonly<Record<string, unknown>> & {
  readonly class_uid: number;
  readonly activity_id: number;
};

/** The line of `event` in OCSF: printable ASCII, line feed included, strings cut as in the event log. */
export function encodeOcsf(event: Event, source: OcsfSource): string {
  return `${encodeAscii(ocsfOf(event, source))}\n`;
}

export function ocsfOf(event: Event, source: OcsfSource): OcsfRecord {
  const { network, exec, file } = event;
  if (network !== undefined) return record(event, source, networkPart(event, network));
  if (exec !== undefined) return record(event, source, processPart(event, exec));
  if (file !== undefined) return record(event, source, filePart(event, file));
  return record(event, source, lifecyclePart(event, event.gateway ?? { message: event.type, detail: [] }));
}

/** What differs from class to class. */
interface Part {
  readonly classUid: number;
  readonly activityId: number;
  readonly activityName?: string;
  readonly message: string;
  readonly failed: boolean;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly profiles: readonly string[];
}

const CLASSES: ReadonlyMap<number, readonly [category: string, name: string]> = new Map([
  [1001, ['System Activity', 'File System Activity']],
  [1007, ['System Activity', 'Process Activity']],
  [4001, ['Network Activity', 'Network Activity']],
  [4002, ['Network Activity', 'HTTP Activity']],
  [4003, ['Network Activity', 'DNS Activity']],
  [6002, ['Application Activity', 'Application Lifecycle']],
]);

function record(event: Event, { id, version }: OcsfSource, part: Part): OcsfRecord {
  const { classUid, activityId, activityName, message, failed, fields, profiles } = part;
  const [categoryName, className] = CLASSES.get(classUid) ?? ['', ''];
  return {
    activity_id: activityId,
    ...(activityName !== undefined && { activity_name: activityName }),
    category_uid: Math.floor(classUid / 1000),
    category_name: categoryName,
    class_uid: classUid,
    class_name: className,
    type_uid: classUid * 100 + activityId,
    time: event.timestamp,
    severity_id: severityOf(event),
    status_id: failed ? FAILURE : SUCCESS,
    message: cut(message),
    metadata: {
      version: OCSF_VERSION,
      uid: id,
      sequence: event.seq,
      event_code: event.type,
      product: { name: 'Sallyport', vendor_name: 'Sallyport', version },
      ...(profiles.length > 0 && { profiles }),
      ...(correlationOf(event) !== null && { correlation_uid: correlationOf(event) }),
    },
    ...fields,
  };
}

const SUCCESS = 1;
const FAILURE = 2;

const INFORMATIONAL = 1;
const LOW = 2;
const MEDIUM = 3;
const HIGH = 4;

function severityOf({ type, network }: Event): number {
  if (type === 'secret.leak' || type === 'sandbox.stopped') return HIGH;
  if (type === 'gateway.dropped' || type === 'secret.lost' || type === 'policy.refused') return MEDIUM;
  return network?.blocked === true || type === 'gateway.repeated' ? LOW : INFORMATIONAL;
}

function correlationOf({ network }: Event): string | null {
  return network?.request ?? network?.flow ?? null;
}

function networkPart(event: Event, network: NetworkEvent): Part {
  const { layer, blocked, block_reason, host, method, reason, duration_ms } = network;
  const failed = blocked || event.type === 'request.failed' || (layer === 'dns' && reason !== null);
  const start = event.timestamp - Math.round(duration_ms);
  const common = {
    start_time: start,
    end_time: event.timestamp,
    duration: Math.round(duration_ms),
    src_endpoint: { uid: event.sandbox ?? 'unknown', type_id: UNKNOWN },
    dst_endpoint: targetOf(network),
    ...controlOf(event.type, network),
    unmapped: unmappedOf(network),
  };
  const what = `${event.type}: ${[method, network.url === '' ? host : network.url].join(' ').trim()}`;
  const message = block_reason === undefined ? what : `${what}: ${block_reason}`;
  const shared = { message, failed, profiles: ['security_control'] };
  if (layer === 'dns') return { ...shared, ...dnsPart(network, common) };
  if (layer === 'http' || layer === 'websocket') return { ...shared, ...httpPart(network, common) };
  return {
    ...shared,
    classUid: 4001,
    activityId: flowActivity(event.type),
    fields: { ...common, connection_info: connectionOf(network), traffic: trafficOf(network) },
  };
}

const UNKNOWN = 0;

type Fields = Readonly<Record<string, unknown>>;

type Kind = Pick<Part, 'classUid' | 'activityId' | 'activityName' | 'fields'>;

function dnsPart({ host, method, reason, blocked }: NetworkEvent, common: Fields): Kind {
  const rcode = rcodeOf(reason, blocked);
  return {
    classUid: 4003,
    activityId: 6,
    fields: {
      ...common,
      query: { hostname: cut(host), type: cut(method), class: 'IN' },
      ...(rcode !== null && { rcode_id: rcode }),
    },
  };
}

/** A name that the policy refuses does not exist for the sandbox (RFC 8914 §4.16 goes with it). */
function rcodeOf(reason: string | null, blocked: boolean): number | null {
  if (blocked) return 3;
  return reason === null ? 0 : null;
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

const OTHER = 99;

function httpPart(network: NetworkEvent, common: Fields): Kind {
  const { method, url, protocol, request, request_bytes, response_bytes, status_code, duration_ms } = network;
  const known = METHODS.get(method);
  const version = /^http\/([\d.]+)$/.exec(protocol)?.[1] ?? (protocol === 'h2' ? '2' : undefined);
  const activity = {
    activityId: method === '' ? UNKNOWN : OTHER,
    ...(method !== '' && { activityName: cut(method) }),
  };
  return {
    classUid: 4002,
    ...(known === undefined ? activity : { activityId: known }),
    fields: {
      ...common,
      http_request: {
        ...(method !== '' && { http_method: cut(method) }),
        ...(url !== '' && { url: urlOf(url) }),
        ...(version !== undefined && { version }),
        ...(request !== null && { uid: request }),
        length: request_bytes,
      },
      ...(status_code !== 0 && {
        http_response: { code: status_code, length: response_bytes, latency: Math.round(duration_ms) },
      }),
      connection_info: connectionOf(network),
      traffic: trafficOf(network),
    },
  };
}

const URL_PARTS = /^([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^/:?#]*)(?::(\d+))?([^?#]*)(?:\?([^#]*))?/;

/** By its own grammar and not by `URL`, which would repair what stands there. */
function urlOf(url: string): Fields {
  const text = { url_string: cut(url, URL_LIMIT) };
  const [, scheme, hostname, port, path, query] = URL_PARTS.exec(url) ?? [];
  if (scheme === undefined || hostname === undefined) return text;
  return {
    ...text,
    scheme,
    hostname: cut(hostname),
    ...(port !== undefined && { port: Number(port) }),
    path: cut(path === undefined || path === '' ? '/' : path),
    ...(query !== undefined && { query_string: cut(query) }),
  };
}

function targetOf({ host, port, destination }: NetworkEvent): Fields {
  const dialled = destination === null ? null : /^\[?(.*?)\]?:\d+$/.exec(destination)?.[1];
  return {
    // An endpoint must be named somehow: what no name was read for is an unknown one.
    hostname: host === '' ? 'unknown' : cut(host),
    ...(port !== 0 && { port }),
    ...(dialled && { ip: dialled }),
  };
}

/** The Security Control profile: what was decided, and by what. */
function controlOf(type: Event['type'], { blocked, rule, generation, decision }: NetworkEvent): Fields {
  const denied = blocked || decision === 'deny';
  const disposition = type === 'secret.leak' ? BLOCKED : denied ? BLOCKED : ALLOWED;
  return {
    action_id: denied ? 2 : 1,
    disposition_id: disposition,
    policy: { name: 'sallyport', version: String(generation) },
    ...(rule !== null && { firewall_rule: { name: cut(rule) } }),
  };
}

const ALLOWED = 1;
const BLOCKED = 2;

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
    ...(flow !== null && { uid: flow }),
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
    ...(reason !== null && { reason: cut(reason) }),
    ...(destination !== null && { destination }),
    ...(secrets.length > 0 && { secrets: secrets.map(name => cut(name)) }),
    ...(annotations && { annotations: annotations.map(text => cut(text)) }),
  };
}

function processPart({ type, sandbox }: Event, { command, exit_code, duration_ms }: ExecEvent): Part {
  const ended = type === 'exec.done';
  const line = cut(command.join(' '));
  return {
    classUid: 1007,
    activityId: ended ? 2 : 1,
    message: `${type}: ${line}`,
    failed: ended && exit_code !== 0,
    profiles: [],
    fields: {
      actor: { app_name: 'sallyport' },
      device: { uid: sandbox ?? 'unknown', type_id: UNKNOWN },
      process: { name: cut(command[0] ?? ''), cmd_line: line },
      ...(ended && { duration: Math.round(duration_ms) }),
      ...(ended && exit_code !== null && { exit_code }),
    },
  };
}

const FILE_ACTIVITY = { create: 1, write: 3, remove: 4 } as const;

function filePart({ type, sandbox }: Event, { op, path, size, mode }: FileEvent): Part {
  return {
    classUid: 1001,
    activityId: FILE_ACTIVITY[op],
    message: `${type}: ${cut(path)}`,
    failed: false,
    profiles: [],
    fields: {
      actor: { app_name: 'sallyport' },
      device: { uid: sandbox ?? 'unknown', type_id: UNKNOWN },
      file: {
        name: cut(path.slice(path.lastIndexOf('/') + 1)),
        path: cut(path),
        type_id: UNKNOWN,
        ...(size !== null && { size }),
      },
      ...(mode !== null && { unmapped: { mode } }),
    },
  };
}

function lifecyclePart({ type, sandbox }: Event, { message, detail }: GatewayFact): Part {
  const activity = type === 'gateway.started' ? 3 : type === 'gateway.closed' ? 4 : OTHER;
  return {
    classUid: 6002,
    activityId: activity,
    ...(activity === OTHER && { activityName: type }),
    message,
    failed: type === 'policy.refused' || type === 'gateway.dropped' || type === 'secret.lost',
    profiles: [],
    fields: {
      app: { name: 'Sallyport', vendor_name: 'Sallyport' },
      unmapped: { detail: detail.map(text => cut(text)), ...(sandbox !== null && { sandbox }) },
    },
  };
}
