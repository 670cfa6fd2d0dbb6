/** The evidence of one flow: `flow.opened` and exactly one of `flow.refused` and `flow.closed`. */
import { type Endpoint, endpointText } from '../core/address.js';
import type { Flow } from '../net/flow.js';
import { emitNetwork, flowFacts, type ProxyContext } from './context.js';

export interface FlowTrace {
  /** The flow is let in. `rule` is null where the bytes have yet to show what is decided. */
  opened(rule: string | null): void;
  /** Terminal, before it was let in. */
  refused(reason: string, rule: string | null, hint: string): void;
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
  const started = context.clock.monotonic();
  let facts = { ...flowFacts(flow), protocol: 'tcp' };
  let rule: string | null = null;
  let destination: string | null = null;
  let fault: string | null = null;
  let ended = false;

  return {
    opened(by) {
      rule = by;
      emitNetwork(context, 'flow.opened', { ...facts, layer: 'tcp', decision: 'allow', rule });
    },
    refused(reason, by, hint) {
      if (ended) return;
      ended = true;
      const denial = { decision: 'deny', blocked: true, reason, rule: by, block_reason: hint } as const;
      emitNetwork(context, 'flow.refused', { ...facts, layer: 'tcp', ...denial });
    },
    tlsRefused(host, reason, by, hint) {
      const denial = { decision: 'deny', blocked: true, reason, rule: by, block_reason: hint } as const;
      emitNetwork(context, 'tls.refused', { ...facts, host, protocol: 'tls', layer: 'tls', ...denial });
    },
    note(known) {
      facts = {
        ...facts,
        ...(known.host && { host: known.host }),
        ...(known.protocol && { protocol: known.protocol }),
      };
      if (known.destination) destination = endpointText(known.destination);
      if (known.fault) fault = known.fault;
    },
    closed(bytes, failure) {
      if (ended) return;
      ended = true;
      emitNetwork(context, 'flow.closed', {
        ...facts,
        layer: 'tcp',
        decision: 'allow',
        rule,
        destination,
        reason: failure ?? (fault === null ? null : 'CLIENT_PROTOCOL'),
        ...(fault !== null && { block_reason: fault }),
        request_bytes: bytes.received,
        response_bytes: bytes.sent,
        duration_ms: Math.round(context.clock.monotonic() - started),
      });
    },
  };
}
