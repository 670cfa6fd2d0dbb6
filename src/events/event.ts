/**
 * The evidence: one record for everything that happened. Field names are the wire's (snake_case); bytes are as on
 * the wire; timestamps are milliseconds since the Unix epoch, durations are milliseconds.
 */

/**
 * What `version` says. Within a version types and fields are added, never renamed, removed or given another meaning;
 * a reader passes over what it does not know.
 */
export const EVENT_VERSION = 1;

/** Dotted, past tense: what happened. `docs/reference/events.md` lists each, a test keeps the two equal. */
export type EventType =
  | 'gateway.started'
  | 'gateway.closed'
  | 'gateway.dropped' // a sink was full: `gateway.detail` says which, and how many events it never saw
  | 'gateway.repeated' // refusals of one sandbox beyond so many a second, counted by kind and reason
  | 'spool.recovered' // the spool had not been closed: `gateway.detail` says what was mended
  | 'spool.trimmed' // the oldest segments were removed; `gateway.detail` names the records
  | 'policy.loaded' // a policy took effect; `gateway.detail` names warnings
  | 'policy.refused' // a reload failed; the old policy stays
  | 'dns.answered'
  | 'dns.refused'
  | 'flow.opened'
  | 'flow.refused' // terminal: the flow never opened
  | 'flow.closed' // terminal
  | 'tls.done' // terminal: the handshake was done, or its bytes pass unread
  | 'tls.refused' // terminal: the handshake was refused or failed; `flow.closed` follows
  | 'request.done' // terminal: answered by the upstream
  | 'request.refused' // terminal: answered by the gateway with a refusal
  | 'request.failed' // terminal: allowed, and something could not be done
  | 'body.captured' // what a content held (`capture: { bodies }`); the request's terminal event follows
  | 'secret.leak' // a placeholder or a value on its way to where it may not go
  | 'secret.left' // a placeholder left as it was: nothing allows it to be filled in there
  | 'script.log' // a policy script's `log()`: `gateway.message` and `gateway.detail` are its lines
  | 'script.failed' // a policy script could not annotate events; they stay as they are
  | 'secret.rotated' // a source gave a new value; requests from now on carry it
  | 'secret.lost' // a source has no value any more, or a token could not be renewed; requests that need it are refused
  | 'sandbox.stopped' // the gateway ended a sandbox for what it did: `gateway.message` says why
  | 'exec.started'
  | 'exec.done'
  | 'file.created' // in the workspace or a mount of a sandbox, by whomever
  | 'file.changed'
  | 'file.removed'
  | 'forward.opened' // a connection came in through a port that is forwarded: `gateway.message` has its two ends
  | 'forward.closed' // it has ended
  | 'vm.started' // a machine takes commands
  | 'vm.ended'; // it has ended: `gateway.message` says why

export type Layer = 'dns' | 'udp' | 'tcp' | 'tls' | 'http' | 'websocket';

/**
 * What one request's time went into, in milliseconds. Null: the phase did not happen, or not for this request: a
 * connection that was open already cost no look-up, no dialling and no handshake.
 */
export interface Timings {
  readonly dns_ms: number | null;
  readonly connect_ms: number | null;
  readonly tls_ms: number | null;
  /** From when a connection could take the request to the head of the answer. */
  readonly first_byte_ms: number | null;
  /** From the request's head to its end; `duration_ms` before it was rounded. */
  readonly total_ms: number;
}

export interface NetworkEvent {
  readonly layer: Layer;
  readonly decision: 'allow' | 'deny';
  /** Identity of the flow, of the request; null where there is none (yet). */
  readonly flow: string | null;
  readonly request: string | null;
  readonly method: string;
  readonly url: string;
  /** The name or address as decided, never as merely claimed. */
  readonly host: string;
  readonly port: number;
  readonly status_code: number;
  readonly request_bytes: number;
  readonly response_bytes: number;
  readonly duration_ms: number;
  readonly blocked: boolean;
  /** One sentence; present when blocked. */
  readonly block_reason?: string;
  /** The code behind it: a `DenyReason`, a `GatewayErrorCode` or a protocol fault. */
  readonly reason: string | null;
  readonly rule: string | null;
  /** `address:port` as dialled; null when nothing was. */
  readonly destination: string | null;
  /** `http/1.1`, `h2`, `tls1.3`, `tcp`, `dns/udp` … */
  readonly protocol: string;
  /** Names of the secrets that were substituted, or that leaked. */
  readonly secrets: readonly string[];
  /** The policy's generation that decided. */
  readonly generation: number;
  /** Of the terminal events of a request that was read. */
  readonly timings?: Timings;
  /** Why it would have been refused, were the policy not only watching (`mode: shadow`). */
  readonly would_deny?: string;
  /** Of an answer that redirects (3xx): where to, as the sandbox was told. */
  readonly location?: string;
  /** `traceparent` of a request that had a valid one (W3C Trace Context): it goes on to the upstream as it came. */
  readonly traceparent?: string;
  /** What a policy script wrote beside it. */
  readonly annotations?: readonly string[];
}

export interface ExecEvent {
  readonly command: readonly string[];
  readonly exit_code: number | null;
  readonly duration_ms: number;
}

/** A file as it is after the event. */
export interface FileEvent {
  readonly op: 'create' | 'write' | 'remove';
  /** In the sandbox. */
  readonly path: string;
  /** Bytes; null when it is gone, or not a plain file. */
  readonly size: number | null;
  /** Permission bits; null when it is gone. */
  readonly mode: number | null;
}

/** The content of a request as the sandbox sent it, or of an answer as the sandbox got it, without values of secrets. */
export interface BodyEvent {
  readonly flow: string;
  readonly request: string;
  readonly side: 'request' | 'response';
  /** The Content-Type; empty where there was none. */
  readonly mime_type: string;
  /** Bytes of the content as it passed, codings included. */
  readonly size: number;
  readonly encoding: 'text' | 'base64';
  /** Codings undone. */
  readonly text: string;
  /** `text` is the beginning only, or (empty) nothing that could be shown. */
  readonly truncated: boolean;
}

export interface GatewayFact {
  readonly message: string;
  readonly detail: readonly string[];
}

interface EventHead {
  readonly version: typeof EVENT_VERSION;
  /** `<gateway_id>-<seq>`: the same event has the same id wherever and however often it arrives. */
  readonly id: string;
  readonly type: EventType;
  readonly timestamp: number;
  /** Gapless per gateway, from 1. */
  readonly seq: number;
  /** One run of a gateway: 16 hexadecimal digits, made anew by each start. */
  readonly gateway_id: string;
  readonly sandbox: string | null;
}

export interface Event extends EventHead {
  readonly network?: NetworkEvent;
  readonly exec?: ExecEvent;
  readonly file?: FileEvent;
  readonly body?: BodyEvent;
  readonly gateway?: GatewayFact;
}

/** What an emitter knows: the bus adds the rest. */
export type EventBody = Omit<Event, 'version' | 'id' | 'seq' | 'timestamp' | 'gateway_id'>;

/** Never throws and never waits: a sink's trouble is the bus's business. */
export type Emit = (event: EventBody) => void;
