/**
 * What a recorded event says about the rules: the few facts that `replay` and `suggest` ask a policy about again.
 *
 * Pure. Logs are long, so a line as the encoder writes it is read by its shape, without the objects that JSON.parse makes;
 * every other line is left to the caller.
 */
import type { Event, EventType } from '../event.js';

export interface Recorded {
  readonly type: EventType;
  readonly layer: string;
  readonly denied: boolean;
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly reason: string | null;
  readonly rule: string | null;
  readonly destination: string | null;
  readonly protocol: string;
  readonly secrets: readonly string[];
}

/** Null: the event tells nothing that a rule decides. */
export function recordedOf({ type, network }: Event): Recorded | null {
  if (network === undefined) return null;
  const { layer, decision, method, url, host, port, reason, rule, destination, protocol, secrets } = network;
  return {
    type,
    layer,
    denied: decision === 'deny',
    method,
    url,
    host,
    port,
    reason,
    rule,
    destination,
    protocol,
    secrets,
  };
}

/**
 * A line as the encoder writes it, from its first character to its last, in the encoder's order and without an escape.
 * No string here holds a quote or a backslash, so that a stranger's cannot look like a key.
 */
const LINE = new RegExp(
  [
    /^\{"version":1,"id":"[^"\\]*","type":"([a-z.]+)","timestamp":[\d.]+,"seq":\d+,"gateway_id":"[^"\\]*"/,
    /,"sandbox":(?:null|"[^"\\]*"),"network":\{"layer":"([a-z]+)","decision":"(allow|deny)"/,
    /,"flow":(?:null|"[^"\\]*"),"request":(?:null|"[^"\\]*"),"method":"([^"\\]*)","url":"([^"\\]*)"/,
    /,"host":"([^"\\]*)","port":(\d+),"status_code":\d+,"request_bytes":\d+,"response_bytes":\d+/,
    /,"duration_ms":[\d.]+,"blocked":(?:true|false)(?:,"block_reason":"[^"\\]*")?,"reason":(?:null|"([^"\\]*)")/,
    /,"rule":(?:null|"([^"\\]*)"),"destination":(?:null|"([^"\\]*)"),"protocol":"([^"\\]*)"/,
    /,"secrets":\[((?:"[^"\\]*",?)*)\],"generation":\d+(?:,"timings":\{[^{}]*\})?(?:,"would_deny":"[a-z-]*")?\}\}$/,
  ]
    .map(({ source }) => source)
    .join(''),
);

const NONE: readonly string[] = Object.freeze([]);

/** The facts of such a line; null: it is another one, and is to be read whole. */
export function recordedInLine(line: string): Recorded | null {
  const found = LINE.exec(line);
  if (found === null) return null;
  const [, type = '', layer = '', decision, method = '', url = '', host = '', port] = found;
  const secrets = found[12];
  return {
    type: type as EventType,
    layer,
    denied: decision === 'deny',
    method,
    url,
    host,
    port: Number(port),
    reason: found[8] ?? null,
    rule: found[9] ?? null,
    destination: found[10] ?? null,
    protocol: found[11] ?? '',
    secrets: secrets === '' || secrets === undefined ? NONE : secrets.slice(1, -1).split('","'),
  };
}
