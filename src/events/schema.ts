/**
 * The event as a schema: what a reader of the log can rely on. `docs/reference/events.schema.json` is made from it.
 *
 * Pure. The types below hold it equal to `Event` in both directions.
 */
import { z } from 'zod';
import { EVENT_VERSION, type Event, type EventType, type Layer } from './event.js';

/** Every type there is, with what it says. `docs/reference/events.md` has the same table. */
export const EVENT_TYPES: Readonly<Record<EventType, string>> = {
  'gateway.started': 'The gateway takes traffic from now on.',
  'gateway.closed': 'The gateway has ended; the last event.',
  'gateway.dropped': 'A sink was full and lost events; `gateway.detail` counts them and names their `seq`.',
  'gateway.repeated': 'Refusals of one sandbox beyond 2,000 a second, counted by type and reason.',
  'spool.recovered':
    'The spool had not been closed by the gateway before; `gateway.detail` says what was mended.',
  'spool.trimmed': 'The oldest segments of the spool were removed; `gateway.detail` names their records.',
  'policy.loaded': 'A policy took effect; `gateway.detail` lists its warnings.',
  'policy.refused': 'A policy could not be loaded; the old one stays.',
  'dns.answered': 'A name was looked up and answered; `reason` is set where the answer was not an address.',
  'dns.refused': 'A name was not answered; nothing left for it.',
  'flow.opened': 'A connection of the sandbox was let in.',
  'flow.refused': 'Terminal: a connection was not let in.',
  'flow.closed': 'Terminal: a connection that was let in has ended.',
  'tls.done': 'Terminal: a handshake was done, or allowed to pass unread (`protocol` is `tls/passthrough`).',
  'tls.refused': 'Terminal: a handshake was refused or failed; `flow.closed` follows.',
  'request.done': 'Terminal: the upstream answered.',
  'request.refused': 'Terminal: the gateway answered with a refusal.',
  'request.failed': 'Terminal: allowed, and it could not be done, or not to its end.',
  'body.captured':
    'A content, where the policy says `capture: { bodies }`; the terminal event of its request follows.',
  'secret.leak': 'A placeholder or a value was on its way to where it may not go; a refusal follows.',
  'secret.left': 'A placeholder left as it was: nothing allows it to be filled in there.',
  'script.log': 'A policy script called `log()`: `gateway.message` and `gateway.detail` are its lines.',
  'script.failed': 'The policy script could not annotate events; they stay as they are.',
  'secret.rotated': 'A source gave a new value; the next request carries it.',
  'secret.lost':
    'A secret has no value any more; requests that need it are refused. `gateway.detail` says why.',
  'sandbox.stopped':
    'The gateway ended the sandbox: a secret with `on_leak: block-and-stop` leaked. `gateway.message` names it.',
  'exec.started': 'A command was started in the sandbox.',
  'exec.done': 'The command has ended.',
  'file.created': 'A file or folder appeared in the workspace or a mount of a sandbox.',
  'file.changed': 'Its content or its mode is another.',
  'file.removed': 'It is gone from there.',
  'forward.opened': 'A connection came in by a port forward; `gateway.message` names its peer and the port.',
  'forward.closed': 'It has ended; `gateway.detail` has the bytes of a TCP connection.',
  'vm.started': 'A machine takes commands from now on.',
  'vm.ended': 'The machine has ended; `gateway.message` says why.',
};

const LAYERS = ['dns', 'udp', 'tcp', 'tls', 'http', 'websocket'] as const satisfies readonly Layer[];

const count = z.int().min(0);

const phase = z.number().min(0).nullable();

const timings = z.strictObject({
  dns_ms: phase.describe('looking up the name'),
  connect_ms: phase.describe('until TCP stood, the way through a proxy of the operator included'),
  tls_ms: phase.describe('the handshake with the upstream'),
  first_byte_ms: phase.describe('from a connection that could take the request to the head of the answer'),
  total_ms: z.number().min(0).describe("from the request's head to its end"),
});

const network = z.strictObject({
  layer: z.enum(LAYERS),
  decision: z.enum(['allow', 'deny']),
  flow: z.string().nullable().describe('identity of the connection'),
  request: z.string().nullable().describe('identity of the request'),
  method: z.string().describe('HTTP method, or DNS record type; empty where there is none'),
  url: z.string().describe('empty where there is none; at most 8,192 characters and a marker'),
  host: z.string().describe('the name or address as decided'),
  port: z.int().min(0).max(65_535).describe('0 where there is none'),
  status_code: z.int().min(0).max(999).describe('of the answer that the sandbox got; 0: none was begun'),
  request_bytes: count.describe('from the sandbox, heads and framing included, as on the wire'),
  response_bytes: count.describe('to the sandbox, as on the wire'),
  duration_ms: z.number().min(0),
  blocked: z.boolean().describe('the gateway said no'),
  block_reason: z.string().exactOptional().describe('one sentence: why, and what an operator could do'),
  reason: z.string().nullable().describe('a code: see reasons.md and errors.md'),
  rule: z.string().nullable().describe('the rule that decided, as `allow_domain[2]`'),
  destination: z.string().nullable().describe('`address:port` as dialled'),
  protocol: z.string().describe('http/1.1, h2, tls, tcp, dns/udp, …'),
  secrets: z.array(z.string()).readonly().describe('names, never values'),
  generation: count.describe('of the policy that decided'),
  timings: timings.exactOptional().describe('of terminal events of a request; null: no such phase'),
  would_deny: z.string().exactOptional().describe('why it would have been refused; `mode: shadow` only'),
  location: z.string().exactOptional().describe('of an answer that redirects: where to'),
  traceparent: z.string().exactOptional().describe('of a request that had a valid one'),
  annotations: z
    .array(z.string())
    .readonly()
    .exactOptional()
    .describe('what a policy script wrote beside it'),
});

const exec = z.strictObject({
  command: z.array(z.string()).readonly(),
  exit_code: z.int().nullable(),
  duration_ms: z.number().min(0),
});

const file = z.strictObject({
  op: z.enum(['create', 'write', 'remove']),
  path: z.string().describe('in the sandbox'),
  size: count.nullable().describe('bytes; null when it is gone, or not a plain file'),
  mode: count.nullable().describe('permission bits; null when it is gone'),
});

const body = z.strictObject({
  flow: z.string(),
  request: z.string(),
  side: z.enum(['request', 'response']),
  mime_type: z.string().describe('Content-Type; empty where there was none'),
  size: count.describe('bytes as they passed, codings included'),
  encoding: z.enum(['text', 'base64']).describe('of `text`: base64 where the content is not UTF-8'),
  text: z.string().describe('codings undone, values of secrets turned back into placeholders'),
  truncated: z.boolean().describe('`text` is not the whole content'),
});

const gateway = z.strictObject({ message: z.string(), detail: z.array(z.string()).readonly() });

export const eventSchema = z.strictObject({
  version: z.literal(EVENT_VERSION).describe('of this schema'),
  id: z.string().describe('`<gateway_id>-<seq>`: the same for the same event, wherever it arrives'),
  type: z.enum(Object.keys(EVENT_TYPES) as [EventType, ...EventType[]]),
  timestamp: z.number().describe('milliseconds since the Unix epoch'),
  seq: z.int().min(1).describe('gapless per gateway, from 1'),
  gateway_id: z.string().describe('one run of a gateway'),
  sandbox: z.string().nullable(),
  network: network.exactOptional(),
  exec: exec.exactOptional(),
  file: file.exactOptional(),
  body: body.exactOptional(),
  gateway: gateway.exactOptional(),
});

/** Compiles only if the schema says what the type says, no more and no less. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
export const SCHEMA_IS_THE_TYPE: Same<z.infer<typeof eventSchema>, Event> = true;

/** The published JSON Schema (draft 2020-12). */
export function eventJsonSchema(): object {
  return {
    ...z.toJSONSchema(eventSchema),
    title: 'Sallyport event',
    description: 'One line of the event log.',
  };
}
