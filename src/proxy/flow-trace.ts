/**
 * The evidence of one flow: `flow.opened` and exactly one of `flow.refused` and `flow.closed`; where a handshake was
 * begun, exactly one of `tls.done` and `tls.refused` between them.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import type { Flow } from '../net/flow.js';
import type { Ruled } from '../policy/shadow.js';
import { emitNetwork, flowFacts, type NetworkFacts, type ProxyContext } from './context.js';

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
  const started = context.clock.monotonic();
  let facts = { ...flowFacts(flow), protocol: 'tcp' };
  let ruled: Ruled = { rule: null };
  let destination: string | null = null;
  let fault: string | null = null;
  let ended = false;
  let shaken = false;

  const endHandshake = (type: 'tls.done' | 'tls.refused', said: Omit<NetworkFacts, 'layer'>): void => {
    if (shaken) return;
    shaken = true;
    const duration_ms = Math.round(context.clock.monotonic() - started);
    emitNetwork(context, type, { ...facts, ...said, layer: 'tls', duration_ms });
  };

  return {
    opened(by) {
      ruled = by;
      emitNetwork(context, 'flow.opened', { ...facts, layer: 'tcp', decision: 'allow', ...ruled });
    },
    refused(reason, by, hint) {
      if (ended) return;
      ended = true;
      emitNetwork(context, 'flow.refused', { ...facts, layer: 'tcp', ...denial(reason, by, hint) });
    },
    tlsDone(host, protocol) {
      endHandshake('tls.done', { host, protocol, decision: 'allow', ...ruled });
    },
    tlsRefused(host, reason, by, hint) {
      endHandshake('tls.refused', { host, protocol: 'tls', ...denial(reason, by, hint) });
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
        ...ruled,
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

function denial(reason: string, rule: string | null, block_reason: string): Omit<NetworkFacts, 'layer'> {
  return { decision: 'deny', blocked: true, reason, rule, block_reason };
}
