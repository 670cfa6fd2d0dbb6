/**
 * What the proxy is given to work with: one context a sandbox. Nothing in here is global, so that two sandboxes share
 * no pool, placeholder or quota.
 */
import type { Clock } from '../core/clock.js';
import type { Emit, EventType, NetworkEvent } from '../events/event.js';
import type { SandboxId } from '../net/flow.js';
import type { PolicyScript } from '../policy/hooks.js';
import type { Policy } from '../policy/policy.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { CancelSignal } from './cancel.js';
import type { Limits } from './limits/limits.js';
import type { Standing } from './standing.js';
import type { Ca } from './tls/ca.js';
import type { Upstream } from './upstream/upstream.js';

/** What one sandbox's traffic is judged by. Replaced whole on reload, so that one request sees one policy. */
export interface Gate {
  /** Null until a policy has loaded: everything is denied. */
  readonly policy: Policy | null;
  readonly secrets: SandboxSecrets;
  /** Secrets of the policy that have no value now, and why; absent: none. */
  readonly unavailable?: ReadonlyMap<string, string>;
}

export interface ProxyContext {
  readonly sandbox: SandboxId;
  readonly gate: () => Gate;
  readonly emit: Emit;
  readonly clock: Clock;
  readonly ca: Ca;
  readonly upstream: Upstream;
  readonly script: PolicyScript | null;
  /** Of this sandbox; what the policy does not limit costs nothing. */
  readonly limits: Limits;
  /** What a reload asks about again. */
  readonly standing: Standing;
  /** Nothing more can be put on record: requests that would carry a secret are refused. */
  readonly recordBlocked: () => boolean;
  /** Unique within the gateway: `r-1`, `r-2` … */
  readonly nextRequestId: () => string;
  /** Fires when the sandbox's traffic is to end. */
  readonly closing: CancelSignal;
}

export type NetworkFacts = Partial<NetworkEvent> & Pick<NetworkEvent, 'layer' | 'decision'>;

/** Emits one network event; what is not given is empty. */
export function emitNetwork(context: ProxyContext, type: EventType, facts: NetworkFacts): void {
  const generation = context.gate().policy?.generation ?? 0;
  context.emit({ type, sandbox: context.sandbox, network: networkEvent(facts, generation) });
}

/** Spelled out: a spread of objects of many shapes costs as much as reading a whole request. */
function networkEvent(facts: NetworkFacts, generation: number): NetworkEvent {
  const network: NetworkEvent = {
    layer: facts.layer,
    decision: facts.decision,
    flow: facts.flow ?? null,
    request: facts.request ?? null,
    method: facts.method ?? '',
    url: facts.url ?? '',
    host: facts.host ?? '',
    port: facts.port ?? 0,
    status_code: facts.status_code ?? 0,
    request_bytes: facts.request_bytes ?? 0,
    response_bytes: facts.response_bytes ?? 0,
    duration_ms: facts.duration_ms ?? 0,
    blocked: facts.blocked ?? false,
    reason: facts.reason ?? null,
    rule: facts.rule ?? null,
    destination: facts.destination ?? null,
    protocol: facts.protocol ?? '',
    secrets: facts.secrets ?? [],
    generation: facts.generation ?? generation,
  };
  const { block_reason, would_deny } = facts;
  if (block_reason === undefined && would_deny === undefined) return network;
  return {
    ...network,
    ...(block_reason !== undefined && { block_reason }),
    ...(would_deny !== undefined && { would_deny }),
  };
}
