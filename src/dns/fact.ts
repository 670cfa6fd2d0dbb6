/**
 * What the DNS room tells: its part of an event. Pure.
 *
 * The types are a narrower form of `EventBody` of `src/events`, which this folder may not import, so that the
 * gateway's `Emit` can be passed as it is.
 */
import type { Denial } from '../policy/hooks.js';
import type { DenyReason } from '../policy/question.js';
import type { QueryFault } from './message.js';

export type DnsReason =
  | DenyReason
  | QueryFault
  | 'dns-bad-name' // the name is not one that a host can have
  | 'dns-type' // a type that is a request for more than a record: a transfer, a key exchange
  | 'dns-unknown-address' // a reverse look-up of an address that we did not give out
  | 'secret-in-name'
  | Denial['code'] // the policy script
  | 'LIMIT_EXCEEDED'
  | 'RESOLVE_FAILED';

export interface DnsFact {
  readonly type: 'dns.answered' | 'dns.refused' | 'secret.leak';
  readonly sandbox: string;
  readonly network: {
    readonly layer: 'dns';
    readonly decision: 'allow' | 'deny';
    readonly flow: null;
    readonly request: null;
    /** The type that was asked for, as `AAAA`; empty where the query could not be read. */
    readonly method: string;
    readonly url: string;
    readonly host: string;
    readonly port: number;
    readonly status_code: number;
    readonly request_bytes: number;
    readonly response_bytes: number;
    readonly duration_ms: number;
    readonly blocked: boolean;
    readonly block_reason?: string;
    readonly reason: DnsReason | null;
    readonly rule: string | null;
    readonly destination: null;
    readonly protocol: 'dns/udp' | 'dns/tcp';
    readonly secrets: readonly string[];
    readonly generation: number;
    readonly would_deny?: DenyReason;
  };
}

/** What decides the fields that are not the same in every fact. */
export interface FactParts {
  readonly type: DnsFact['type'];
  readonly sandbox: string;
  readonly transport: 'udp' | 'tcp';
  readonly generation: number;
  readonly host: string;
  readonly method: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  readonly reason: DnsReason | null;
  readonly hint: string;
  readonly rule: string | null;
  readonly would_deny?: DenyReason;
  readonly secrets: readonly string[];
}

export function dnsFact(parts: FactParts): DnsFact {
  const blocked = parts.type !== 'dns.answered';
  return {
    type: parts.type,
    sandbox: parts.sandbox,
    network: {
      layer: 'dns',
      decision: blocked ? 'deny' : 'allow',
      flow: null,
      request: null,
      method: parts.method,
      // RFC 4501; the host's odd bytes are escaped already.
      url: parts.host === '' ? '' : `dns:${parts.host}?type=${parts.method}`,
      host: parts.host,
      port: 53,
      status_code: 0,
      request_bytes: parts.requestBytes,
      response_bytes: parts.responseBytes,
      duration_ms: parts.durationMs,
      blocked,
      ...(blocked ? { block_reason: parts.hint } : {}),
      reason: parts.reason,
      rule: parts.rule,
      destination: null,
      protocol: `dns/${parts.transport}`,
      secrets: parts.secrets,
      generation: parts.generation,
      ...(parts.would_deny !== undefined && { would_deny: parts.would_deny }),
    },
  };
}
