/**
 * The policy in its two forms: `PolicyDocument`, one layer as parsed (a file, a profile, the flags), and `Policy`,
 * all layers compiled. Both are frozen data; only `document.ts` and `flags.ts` make the first, only `compile.ts`
 * makes the second.
 */
import type { Cidr, Endpoint, IpAddress } from '../core/address.js';
import type { Authority } from '../core/authority.js';
import type { Hostname } from '../core/host.js';
import type { AddressIndex } from './address-index.js';
import type { ScriptLimits } from './hooks.js';
import type { NameIndex } from './name-index.js';
import type { PathGlob } from './path.js';
import type { HostPattern } from './pattern.js';
import type { ProxyRoutes } from './proxy-routes.js';
import type { DenyReason } from './question.js';
import type { SecretSpec } from './secret-spec.js';

export type { SecretSpec, ValueSource } from './secret-spec.js';

/** `shadow`: judged as `block_all`; what the rules refuse is noted, and passes. */
export type PolicyMode = 'block_all' | 'allow_all' | 'shadow';
export type Protocol = 'tcp' | 'udp' | 'any';

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What a domain and a CIDR rule have in common. */
export interface RuleBody {
  /** Where the rule stands: `allow_domain[2]` or `--allow api.github.com`. */
  readonly label: string;
  readonly protocol: Protocol;
  readonly ports: readonly PortRange[];
  /** Null: every method. */
  readonly methods: ReadonlySet<string> | null;
  /** Null: every path. */
  readonly paths: readonly PathGlob[] | null;
  /** Whether bytes that are not HTTP may pass; null: on every port of the rule but 80 and 443. */
  readonly tunnel: boolean | null;
  /** How much of a content the policy script is shown; null: nothing. */
  readonly scriptBodyBytes: number | null;
}

export interface DomainRule extends RuleBody {
  readonly host: HostPattern;
}

export interface CidrRule extends RuleBody {
  readonly block: Cidr;
}

/** The operator's own address for one name. */
export interface HostPin {
  readonly address: IpAddress;
  /** The port that is dialled in place of the one that was asked for; null: the same. */
  readonly port: number | null;
}

export interface DnsSettings {
  readonly mode: 'synthetic' | 'forward';
  /** The gateway's own resolvers; empty: the host's. */
  readonly servers: readonly Endpoint[];
  readonly searchDomains: readonly Hostname[];
  /** Whether an answer with a private address is refused in forward mode. */
  readonly blockPrivate: boolean;
}

/** What one sandbox may use; null: no limit of the policy's (those of the readers stand). Every number is above zero. */
export interface PolicyLimits {
  /** Bytes a second from the sandbox outwards, all its flows together. */
  readonly maxEgressBps: number | null;
  /** Bytes a second to the sandbox. */
  readonly maxIngressBps: number | null;
  /** Flows open at a time. */
  readonly maxConnections: number | null;
  readonly requestsPerSecond: number | null;
  /** A request's head on the wire. */
  readonly maxRequestHeadBytes: number | null;
  readonly maxRequestBodyBytes: number | null;
  readonly maxResponseBodyBytes: number | null;
  /** From the last byte of a request to the answer's head, in milliseconds. */
  readonly upstreamHeadMs: number | null;
  /** Longest silence of a flow that is being served, in milliseconds. */
  readonly idleMs: number | null;
}

/** A script and what it may use; a layer need not say all of it. */
export interface ScriptSpec extends ScriptLimits {
  /** Absolute, or relative to where the process runs. */
  readonly path: string;
}

/** A question with its expected verdict, kept beside the rules that it explains. */
export interface Example {
  readonly label: string;
  readonly subject: ExampleSubject;
  readonly expect: 'allow' | 'deny';
  readonly reason: DenyReason | null;
  readonly rule: string | null;
}

export type ExampleSubject =
  | {
      readonly kind: 'url';
      readonly authority: Authority;
      readonly path: string;
      readonly method: string;
      /** What the name is taken to resolve to. */
      readonly resolvesTo: readonly IpAddress[];
    }
  | { readonly kind: 'connect'; readonly authority: Authority; readonly resolvesTo: readonly IpAddress[] };

/** One layer. Null: this layer does not say. */
export interface PolicyDocument {
  /** For messages: a path, a profile's name, or `flags`. */
  readonly source: string;
  readonly mode: PolicyMode | null;
  readonly blockPrivateIps: boolean | null;
  readonly allowMetadata: boolean | null;
  readonly allowDomain: readonly DomainRule[];
  readonly denyDomain: readonly DomainRule[];
  readonly allowCidr: readonly CidrRule[];
  readonly denyCidr: readonly CidrRule[];
  readonly addHosts: ReadonlyMap<Hostname, HostPin>;
  readonly dns: Partial<DnsSettings>;
  readonly passthrough: readonly HostPattern[];
  readonly limits: Partial<PolicyLimits>;
  readonly proxy: ProxyRoutes | null;
  readonly secrets: readonly SecretSpec[];
  readonly script: Partial<ScriptSpec>;
  /** How much of each content is put on record, in bytes. */
  readonly captureBytes: number | null;
  readonly examples: readonly Example[];
}

/** What the compiler is told about the gateway itself. */
export interface GatewayFacts {
  /** The gateway's own listeners and control socket: never a destination. */
  readonly gatewayEndpoints?: readonly Endpoint[];
  /** Counts reloads; every event and every pooled connection carries it. Default 1. */
  readonly generation?: number;
}

/** One rule as `decide` sees it. */
export interface CompiledRule extends RuleBody {
  /** The block is one that an operator may own: the rule lifts `block_private_ips` for it. */
  readonly lifts: boolean;
}

/** All layers, compiled. Ask it with `decide`; read it for what a room needs to set itself up. */
export interface Policy {
  readonly generation: number;
  readonly mode: PolicyMode;
  readonly blockPrivateIps: boolean;
  readonly allowMetadata: boolean;
  readonly allowNames: NameIndex<CompiledRule>;
  readonly denyNames: NameIndex<CompiledRule>;
  readonly allowAddresses: AddressIndex<CompiledRule>;
  readonly denyAddresses: AddressIndex<CompiledRule>;
  /** `address:port` of the gateway itself. */
  readonly gatewayEndpoints: ReadonlySet<string>;
  readonly addHosts: ReadonlyMap<Hostname, HostPin>;
  readonly dns: DnsSettings;
  readonly passthrough: NameIndex<true>;
  readonly limits: PolicyLimits;
  /** The operator's own proxies; null: everything is dialled directly. */
  readonly proxy: ProxyRoutes | null;
  readonly secrets: readonly SecretSpec[];
  /** Null: there is none. */
  readonly script: ScriptSpec | null;
  /** How much of each content is put on record, in bytes; null: nothing of any. */
  readonly captureBytes: number | null;
  readonly secretScopes: NameIndex<SecretScope>;
  /** TCP ports that some rule may allow, merged and in order: the inner door refuses all the others at once. */
  readonly ports: readonly PortRange[] | 'any';
  readonly examples: readonly Example[];
  /** What an operator should know and nothing refuses: one sentence each, with its rule. */
  readonly warnings: readonly string[];
}

/** One host of one secret. */
export interface SecretScope {
  readonly secret: string;
  readonly port: number | null;
  readonly allowHttp: boolean;
}
