/**
 * The evidence of one request: collects what is known as it becomes known, and emits exactly one terminal event.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import { authorityText } from '../core/authority.js';
import { hostText } from '../core/host.js';
import type { NetworkEvent } from '../events/event.js';
import type { Flow } from '../net/flow.js';
import type { Leak } from '../secrets/scan.js';
import { emitNetwork, type ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import type { Refusal } from './refusal.js';

export interface Trace {
  /** What is known from here on goes into the terminal event. */
  note(facts: {
    rule?: string | null;
    secrets?: readonly string[];
    destination?: Endpoint;
    protocol?: string;
  }): void;
  /** Terminal: the upstream's answer went back. */
  done(status: number): void;
  /** Terminal: the gateway said no. */
  refused(refusal: Refusal): void;
  /** Terminal: allowed, and it could not be done, or not to the end. `status` is 0 when no answer was begun. */
  failed(reason: string, message: string, status: number): void;
  /** Not terminal: a refusal follows. */
  leaked(leaks: readonly Leak[]): void;
  /** Not terminal: a placeholder goes out as it is. */
  left(secret: string | null, place: string): void;
}

const VERSIONS = { '1.0': 'http/1.0', '1.1': 'http/1.1', '2': 'h2' } as const;

export function startTrace(exchange: Exchange, flow: Flow, context: ProxyContext): Trace {
  const started = context.clock.monotonic();
  const { head } = exchange.request;
  const { authority } = head;
  const generation = context.gate().policy?.generation ?? 0;
  const request = context.nextRequestId();
  const layer = head.upgrade === 'websocket' ? 'websocket' : 'http';
  let rule: string | null = null;
  let secrets: readonly string[] = [];
  let destination: Endpoint | null = null;
  let ended = false;

  const facts = (): Omit<NetworkEvent, 'decision'> => ({
    layer,
    flow: flow.id,
    request,
    method: head.method,
    url: `${authority.scheme}://${authorityText(authority)}${head.path}`,
    host: hostText(authority.host),
    port: authority.port,
    status_code: 0,
    request_bytes: exchange.bytes.received,
    response_bytes: exchange.bytes.sent,
    duration_ms: Math.round(context.clock.monotonic() - started),
    blocked: false,
    reason: null,
    rule,
    destination: destination === null ? null : endpointText(destination),
    protocol: VERSIONS[head.version],
    secrets,
    generation,
  });

  const terminal = (
    type: 'request.done' | 'request.refused' | 'request.failed',
    more: Partial<NetworkEvent>,
  ): void => {
    if (ended) return;
    ended = true;
    const decision = type === 'request.refused' ? 'deny' : 'allow';
    context.emit({ type, sandbox: context.sandbox, network: { ...facts(), decision, ...more } });
  };

  return {
    note(known) {
      if (known.rule !== undefined) rule = known.rule;
      if (known.secrets !== undefined) secrets = known.secrets;
      if (known.destination !== undefined) destination = known.destination;
    },
    done: status => terminal('request.done', { status_code: status }),
    refused: refusal =>
      terminal('request.refused', {
        status_code: refusal.status,
        blocked: true,
        block_reason: refusal.hint,
        reason: refusal.reason,
        rule: refusal.rule,
      }),
    failed: (reason, message, status) =>
      terminal('request.failed', { status_code: status, reason, block_reason: message }),
    leaked(leaks) {
      for (const leak of leaks) {
        emitNetwork(context, 'secret.leak', {
          ...facts(),
          decision: 'deny',
          blocked: true,
          reason: 'secret-leak',
          block_reason: `a placeholder or value of ${leak.secret} in ${leak.place} (${leak.encoding}, ${leak.reason})`,
          secrets: [leak.secret],
        });
      }
    },
    left(secret, place) {
      const named = secret === null ? [] : [secret];
      emitNetwork(context, 'secret.left', { ...facts(), decision: 'allow', reason: place, secrets: named });
    },
  };
}
