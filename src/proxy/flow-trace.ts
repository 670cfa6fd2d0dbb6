/**
 * The evidence of one flow: `flow.opened` and exactly one of `flow.refused` and `flow.closed`; where a handshake was
 * begun, exactly one of `tls.done` and `tls.refused` between them.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import type { EventType, NetworkEvent } from '../events/event.js';
import type { Flow } from '../net/flow.js';
import type { Ruled } from '../policy/shadow.js';
import type { ProxyContext } from './context.js';

export interface FlowTrace {
  /** The flow is let in. `rule` is null where the bytes have yet to show what is decided. */
  opened(ruled: Ruled): void;
  /** Terminal, before it was let in. */
  refused(reason: string, rule: string | null, hint: string): void;
  /** The handshake was done, with `protocol` such as `tls1.3`, or its bytes pass unread. */
  tlsDone(host: string, protocol: string): void;
  /** The handshake was refused or failed; `closed` follows. */
  tlsRefused(host: string, reason: string, rule: string | null, hint: string): void;
  /** What it turned out to be. */
  note(facts: {
    host?: string;
    protocol?: string;
    destination?: Endpoint;
    /** Why it ended, in a sentence, where the client broke the protocol. */
    fault?: string;
  }): void;
  /** Terminal. */
  closed(bytes: { received: number; sent: number }, failure: string | null): void;
}

export function startFlowTrace(flow: Flow, context: ProxyContext): FlowTrace {
  return new Tracing(flow, context);
}

/** What an event of a flow says beside what all of them do. */
interface Said {
  readonly layer: 'tcp' | 'tls';
  readonly decision: 'allow' | 'deny';
  readonly host: string;
  readonly protocol: string;
  readonly ruled: Ruled;
  readonly reason: string | null;
  readonly hint: string | null;
}

type Draft = { -readonly [Key in keyof NetworkEvent]: NetworkEvent[Key] };

class Tracing implements FlowTrace {
  readonly #context: ProxyContext;
  readonly #flow: Flow;
  readonly #started: number;
  #host: string;
  #protocol = 'tcp';
  #ruled: Ruled = NO_RULE;
  #destination: Endpoint | null = null;
  #fault: string | null = null;
  #ended = false;
  #shaken = false;

  constructor(flow: Flow, context: ProxyContext) {
    this.#context = context;
    this.#flow = flow;
    this.#started = context.clock.monotonic();
    this.#host = flow.host ?? flow.target.address.text;
  }

  opened(ruled: Ruled): void {
    this.#ruled = ruled;
    this.#emit('flow.opened', this.#draft(this.#allowed('tcp', this.#host, this.#protocol, null, null)));
  }

  refused(reason: string, rule: string | null, hint: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#emit(
      'flow.refused',
      this.#draft(denied('tcp', this.#host, this.#protocol, { rule }, reason, hint)),
    );
  }

  tlsDone(host: string, protocol: string): void {
    this.#endHandshake('tls.done', this.#allowed('tls', host, protocol, null, null));
  }

  tlsRefused(host: string, reason: string, rule: string | null, hint: string): void {
    this.#endHandshake('tls.refused', denied('tls', host, 'tls', { rule }, reason, hint));
  }

  note({ host, protocol, destination, fault }: Parameters<FlowTrace['note']>[0]): void {
    if (host) this.#host = host;
    if (protocol) this.#protocol = protocol;
    if (destination) this.#destination = destination;
    if (fault) this.#fault = fault;
  }

  closed({ received, sent }: { received: number; sent: number }, failure: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const reason = failure ?? (this.#fault === null ? null : 'CLIENT_PROTOCOL');
    const network = this.#draft(this.#allowed('tcp', this.#host, this.#protocol, reason, this.#fault));
    if (this.#destination !== null) network.destination = endpointText(this.#destination);
    network.request_bytes = received;
    network.response_bytes = sent;
    network.duration_ms = this.#elapsedMs;
    this.#emit('flow.closed', network);
  }

  #endHandshake(type: 'tls.done' | 'tls.refused', said: Said): void {
    if (this.#shaken) return;
    this.#shaken = true;
    const network = this.#draft(said);
    network.duration_ms = this.#elapsedMs;
    this.#emit(type, network);
  }

  get #elapsedMs(): number {
    return Math.round(this.#context.clock.monotonic() - this.#started);
  }

  #allowed(
    layer: Said['layer'],
    host: string,
    protocol: string,
    reason: string | null,
    hint: string | null,
  ): Said {
    return { layer, decision: 'allow', host, protocol, ruled: this.#ruled, reason, hint };
  }

  /** One literal: three of these are made for each connection, and putting them together from parts costs more. */
  #draft({ layer, decision, host, protocol, ruled, reason, hint }: Said): Draft {
    const network: Draft = {
      layer,
      decision,
      flow: this.#flow.id,
      request: null,
      method: '',
      url: '',
      host,
      port: this.#flow.target.port,
      status_code: 0,
      request_bytes: 0,
      response_bytes: 0,
      duration_ms: 0,
      blocked: decision === 'deny',
      reason,
      rule: ruled.rule,
      destination: null,
      protocol,
      secrets: NO_SECRETS,
      generation: this.#context.gate().policy?.generation ?? 0,
    };
    if (hint !== null) network.block_reason = hint;
    if (ruled.would_deny !== undefined) network.would_deny = ruled.would_deny;
    return network;
  }

  #emit(type: EventType, network: NetworkEvent): void {
    this.#context.emit({ type, sandbox: this.#context.sandbox, network });
  }
}

const NO_RULE: Ruled = { rule: null };
const NO_SECRETS: readonly string[] = [];

function denied(
  layer: Said['layer'],
  host: string,
  protocol: string,
  ruled: Ruled,
  reason: string,
  hint: string,
): Said {
  return { layer, decision: 'deny', host, protocol, ruled, reason, hint };
}
