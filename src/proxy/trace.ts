/**
 * The evidence of one request: collects what is known as it becomes known, and emits exactly one terminal event.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import { authorityText } from '../core/authority.js';
import { firstHeader } from '../core/headers.js';
import { hostText } from '../core/host.js';
import type { EventType, NetworkEvent, Timings } from '../events/event.js';
import type { Flow } from '../net/flow.js';
import type { Leak } from '../secrets/scan.js';
import type { CapturedBody } from './capture.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import type { Refusal } from './refusal.js';
import type { PhaseTimes } from './upstream/connect.js';

/** What becomes known on the way, and stands in every event after it. */
interface Known {
  readonly rule?: string | null;
  /** The refusal that `mode: shadow` did not make. */
  readonly would_deny?: string;
  /** Names of the secrets that went out. */
  readonly secrets?: readonly string[];
  /** Of an answer that redirects. */
  readonly location?: string | null;
  /** As dialled. */
  readonly destination?: Endpoint;
}

type Terminal = 'request.done' | 'request.refused' | 'request.failed';

/** What one event says beyond what is known; what is absent is as it is known. */
interface Said {
  readonly decision: NetworkEvent['decision'];
  readonly status: number;
  readonly blocked: boolean;
  readonly reason: string | null;
  readonly hint: string | null;
  readonly rule?: string | null;
  readonly secrets?: readonly string[];
}

type Draft = { -readonly [K in keyof NetworkEvent]: NetworkEvent[K] };

/** Version 00 (W3C Trace Context §3.2); what is anything else stays out of the evidence. */
const TRACE_PARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

const VERSIONS = { '1.0': 'http/1.0', '1.1': 'http/1.1', '2': 'h2' } as const;

/** The phases are its own fields, so that a request costs no object more for them. */
export class Trace implements PhaseTimes {
  dnsMs: number | null = null;
  connectMs: number | null = null;
  tlsMs: number | null = null;
  firstByteMs: number | null = null;
  readonly #exchange: Exchange;
  readonly #flow: Flow;
  readonly #context: ProxyContext;
  readonly #id: string;
  readonly #startedMs: number;
  readonly #generation: number;
  #rule: string | null = null;
  #wouldDeny: string | null = null;
  #location: string | null = null;
  #secrets: readonly string[] = [];
  #destination: Endpoint | null = null;
  #ended = false;

  constructor(exchange: Exchange, flow: Flow, context: ProxyContext) {
    this.#exchange = exchange;
    this.#flow = flow;
    this.#context = context;
    this.#id = context.nextRequestId();
    this.#startedMs = context.clock.monotonic();
    this.#generation = context.gate().policy?.generation ?? 0;
  }

  note({ rule, would_deny, secrets, location, destination }: Known): void {
    if (rule !== undefined) this.#rule = rule;
    if (would_deny !== undefined) this.#wouldDeny = would_deny;
    if (secrets !== undefined) this.#secrets = secrets;
    if (location !== undefined) this.#location = location;
    if (destination !== undefined) this.#destination = destination;
  }

  /** Terminal: the upstream's answer went back. */
  done(status: number): void {
    this.#end('request.done', { decision: 'allow', status, blocked: false, reason: null, hint: null });
  }

  /** Terminal: the gateway said no. */
  refused({ status, hint, detail = hint, reason, rule }: Refusal): void {
    this.#end('request.refused', { decision: 'deny', status, blocked: true, reason, hint: detail, rule });
  }

  /** Terminal: allowed, and it could not be done, or not to the end. `status` is 0 when no answer was begun. */
  failed(reason: string, message: string, status: number): void {
    this.#end('request.failed', { decision: 'allow', status, blocked: false, reason, hint: message });
  }

  /** Not terminal: a refusal follows. */
  leaked(leaks: readonly Leak[]): void {
    for (const leak of leaks) {
      this.#emit('secret.leak', {
        decision: 'deny',
        status: 0,
        blocked: true,
        reason: 'secret-leak',
        hint: leakText(leak),
        secrets: leak.secret === '' ? [] : [leak.secret],
      });
    }
  }

  /** Not terminal: what a content held. */
  captured(body: CapturedBody): void {
    const { id: flow } = this.#flow;
    const { sandbox } = this.#context;
    this.#context.emit({ type: 'body.captured', sandbox, body: { flow, request: this.#id, ...body } });
  }

  /** Not terminal: a placeholder goes out as it is. `secret` is null where nobody's is known. */
  left(secret: string | null, place: string): void {
    const secrets = secret === null ? [] : [secret];
    this.#emit('secret.left', {
      decision: 'allow',
      status: 0,
      blocked: false,
      reason: place,
      hint: null,
      secrets,
    });
  }

  #end(type: Terminal, said: Said): void {
    if (this.#ended) return;
    this.#ended = true;
    const elapsedMs = this.#elapsedMs;
    const timings = {
      dns_ms: microseconds(this.dnsMs),
      connect_ms: microseconds(this.connectMs),
      tls_ms: microseconds(this.tlsMs),
      first_byte_ms: microseconds(this.firstByteMs),
      total_ms: Math.round(elapsedMs * 1_000) / 1_000,
    };
    this.#emit(type, said, elapsedMs, timings);
  }

  #emit(type: EventType, said: Said, elapsedMs = this.#elapsedMs, timings?: Timings): void {
    const network = this.#event(said, elapsedMs);
    if (timings !== undefined) network.timings = timings;
    if (said.hint !== null) network.block_reason = said.hint;
    if (timings !== undefined) {
      const parent = firstHeader(this.#exchange.request.head.headers, 'traceparent');
      if (parent !== null && TRACE_PARENT.test(parent)) network.traceparent = parent;
    }
    if (this.#location !== null && said.decision === 'allow') network.location = this.#location;
    if (this.#wouldDeny !== null && said.decision === 'allow') network.would_deny = this.#wouldDeny;
    this.#context.emit({ type, sandbox: this.#context.sandbox, network });
  }

  get #elapsedMs(): number {
    return this.#context.clock.monotonic() - this.#startedMs;
  }

  /** One literal: this runs for every request, and putting it together from parts costs more than all the rest. */
  #event({ decision, status, blocked, reason, rule, secrets }: Said, elapsedMs: number): Draft {
    const { head } = this.#exchange.request;
    const { bytes } = this.#exchange;
    const { authority } = head;
    return {
      layer: head.upgrade === 'websocket' ? 'websocket' : 'http',
      decision,
      flow: this.#flow.id,
      request: this.#id,
      method: head.method,
      url: `${authority.scheme}://${authorityText(authority)}${head.path}`,
      host: hostText(authority.host),
      port: authority.port,
      status_code: status,
      request_bytes: bytes.received,
      response_bytes: bytes.sent,
      duration_ms: Math.round(elapsedMs),
      blocked,
      reason,
      rule: rule === undefined ? this.#rule : rule,
      destination: this.#destination === null ? null : endpointText(this.#destination),
      protocol: VERSIONS[head.version],
      secrets: secrets ?? this.#secrets,
      generation: this.#generation,
    };
  }
}

/** To the microsecond: more is noise, and sixteen digits of it in every line. */
function microseconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1_000) / 1_000;
}

/** Names, never values. Where nobody knows the secret, what could not be read; where it is another sandbox's, whose. */
function leakText({ secret, place, encoding, reason, owner }: Leak): string {
  if (secret === '') return `what cannot be decoded in ${place} (${encoding}, ${reason})`;
  const whose = owner === undefined ? '' : `, of sandbox ${owner.sandbox} in run ${owner.run}`;
  return `a placeholder or value of ${secret} in ${place} (${encoding}, ${reason}${whose})`;
}
