/**
 * An event in the words of the Open Cybersecurity Schema Framework, 1.3 (https://schema.ocsf.io/1.3.0/).
 *
 * Pure. Requests and contents are HTTP Activity (4002), look-ups DNS Activity (4003), every other traffic Network
 * Activity (4001), all but contents with the Security Control profile; commands are Process Activity (1007), files File
 * System Activity (1001), what the gateway says of itself is Application Lifecycle (6002). What has no attribute there
 * stands in `unmapped` under the name it has here.
 *
 * An attribute that an event does not have is `undefined`, which JSON leaves out: records of one shape, and no spreads,
 * because this may run for every request.
 */
import { cut } from './encode.js';
import type { Event, ExecEvent, FileEvent, GatewayFact } from './event.js';
import { bodyPart, known, networkPart, OTHER, type Part, UNKNOWN } from './ocsf-network.js';
import { encodePlain, type PlainRecord } from './plain.js';

export const OCSF_VERSION = '1.3.0';

export interface OcsfSource {
  /** Of the event, the same whatever form it is told in: `metadata.uid`. */
  readonly id: string;
  /** Of the program: `metadata.product.version`. */
  readonly version: string;
}

/** A record of OCSF: plain JSON, strings as they came. */
export type OcsfRecord = PlainRecord & {
  readonly class_uid: number;
  readonly activity_id: number;
};

/** The line of `event` in OCSF: printable ASCII, line feed included, strings cut as in the event log. */
export function encodeOcsf(event: Event, source: OcsfSource): string {
  return encodePlain(ocsfOf(event, source));
}

function ocsfOf(event: Event, source: OcsfSource): OcsfRecord {
  const { network, exec, file, body } = event;
  if (network !== undefined) return record(event, source, networkPart(event, network));
  if (exec !== undefined) return record(event, source, processPart(event, exec));
  if (file !== undefined) return record(event, source, filePart(event, file));
  if (body !== undefined) return record(event, source, bodyPart(event, body));
  return record(event, source, lifecyclePart(event, event.gateway ?? { message: event.type, detail: [] }));
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
    activity_name: activityName,
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
      profiles,
      correlation_uid: correlationOf(event),
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

function correlationOf({ network, body }: Event): string | undefined {
  return network?.request ?? network?.flow ?? body?.request ?? undefined;
}

function processPart({ type, sandbox }: Event, { command, exit_code, duration_ms }: ExecEvent): Part {
  const ended = type === 'exec.done';
  const line = cut(command.join(' '));
  return {
    classUid: 1007,
    activityId: ended ? 2 : 1,
    message: `${type}: ${line}`,
    failed: ended && exit_code !== 0,
    profiles: undefined,
    fields: {
      actor: { app_name: 'sallyport' },
      device: { uid: sandbox ?? 'unknown', type_id: UNKNOWN },
      process: { name: cut(command[0] ?? ''), cmd_line: line },
      duration: ended ? Math.round(duration_ms) : undefined,
      exit_code: ended ? known(exit_code) : undefined,
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
    profiles: undefined,
    fields: {
      actor: { app_name: 'sallyport' },
      device: { uid: sandbox ?? 'unknown', type_id: UNKNOWN },
      file: {
        name: cut(path.slice(path.lastIndexOf('/') + 1)),
        path: cut(path),
        type_id: UNKNOWN,
        size: known(size),
      },
      unmapped: mode === null ? undefined : { mode },
    },
  };
}

function lifecyclePart({ type, sandbox }: Event, { message, detail }: GatewayFact): Part {
  const activity = type === 'gateway.started' ? 3 : type === 'gateway.closed' ? 4 : OTHER;
  return {
    classUid: 6002,
    activityId: activity,
    activityName: activity === OTHER ? type : undefined,
    message,
    failed: type === 'policy.refused' || type === 'gateway.dropped' || type === 'secret.lost',
    profiles: undefined,
    fields: {
      app: { name: 'Sallyport', vendor_name: 'Sallyport' },
      unmapped: { detail: detail.map(text => cut(text)), sandbox: known(sandbox) },
    },
  };
}
