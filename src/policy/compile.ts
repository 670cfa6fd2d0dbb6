/**
 * Layers of documents to one frozen `Policy`: lists are joined in order, scalars of a later layer replace.
 *
 * Pure. What could never work as written is an error; what works and deserves a thought is a warning.
 */
import { type Cidr, endpointText, unmapped } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { createAddressIndex } from './address-index.js';
import { deadSecrets } from './dead-secrets.js';
import { SCRIPT_LIMITS } from './hooks.js';
import { createNameIndex } from './name-index.js';
import { type HostPattern, patternText } from './pattern.js';
import type {
  CompiledRule,
  DnsSettings,
  DomainRule,
  GatewayFacts,
  HostPin,
  Policy,
  PolicyDocument,
  PolicyLimits,
  PortRange,
  RuleBody,
  ScriptSpec,
  SecretScope,
  SecretSpec,
} from './policy.js';
import type { Problem } from './problem.js';
import { isPrivateBlock } from './special.js';
import { warnings } from './warnings.js';

/** Compiles the layers, the most general first. No layer at all is a policy that denies everything. */
export function compile(
  layers: readonly PolicyDocument[],
  { gatewayEndpoints = [], generation = 1 }: GatewayFacts = {},
): Result<Policy, readonly Problem[]> {
  const problems = [...duplicateSecrets(layers)];
  if (problems.length > 0) return err(problems);
  const mode = last(layers.map(layer => layer.mode)) ?? 'block_all';
  const allow = split(layers.flatMap(layer => layer.allowDomain));
  const deny = split(layers.flatMap(layer => layer.denyDomain));
  const allowCidr = carried(layers.flatMap(layer => layer.allowCidr)).map(
    rule => [rule.block, compiled(rule, rule.block)] as const,
  );
  const denyCidr = carried(layers.flatMap(layer => layer.denyCidr)).map(
    rule => [rule.block, compiled(rule, null)] as const,
  );
  const secrets = layers.flatMap(layer => layer.secrets);
  const policy: Policy = {
    generation,
    mode,
    blockPrivateIps: last(layers.map(layer => layer.blockPrivateIps)) ?? true,
    allowMetadata: last(layers.map(layer => layer.allowMetadata)) ?? false,
    allowNames: createNameIndex(allow.names),
    denyNames: createNameIndex(deny.names),
    allowAddresses: createAddressIndex([...allowCidr, ...allow.addresses]),
    denyAddresses: createAddressIndex([...denyCidr, ...deny.addresses]),
    gatewayEndpoints: new Set(
      gatewayEndpoints.map(({ address, port }) => endpointText({ address: unmapped(address), port })),
    ),
    addHosts: new Map<Hostname, HostPin>(layers.flatMap(layer => [...layer.addHosts])),
    dns: dnsSettings(layers),
    passthrough: createNameIndex(
      layers.flatMap(layer => layer.passthrough.map(pattern => [pattern, true] as const)),
    ),
    proxy: layers.findLast(layer => layer.proxy !== null)?.proxy ?? null,
    limits: Object.freeze(Object.assign({ ...NO_LIMITS }, ...layers.map(layer => layer.limits))),
    script: scriptSpec(layers),
    captureBytes: last(layers.map(layer => layer.captureBytes)) ?? null,
    secrets,
    secretScopes: createNameIndex(secrets.flatMap(secretScopes)),
    ports:
      mode !== 'block_all'
        ? 'any'
        : mergedPorts([...allow.names, ...allow.addresses, ...allowCidr].map(([, rule]) => rule)),
    examples: layers.flatMap(layer => layer.examples),
    warnings: warnings(layers, mode),
  };
  const dead = deadSecrets(policy);
  return dead.length > 0 ? err(dead) : ok(Object.freeze(policy));
}

/** TCP ports that some rule may allow, merged and in order; `any` where a rule or the mode names no port. */
export function allowedPorts(policy: Policy): readonly PortRange[] | 'any' {
  return policy.ports;
}

function last<T>(values: readonly (T | null)[]): T | undefined {
  return values.findLast(value => value !== null) ?? undefined;
}

/** UDP is never carried, so a rule for UDP alone neither allows nor denies anything. */
function carried<T extends RuleBody>(rules: readonly T[]): readonly T[] {
  return rules.filter(rule => rule.protocol !== 'udp');
}

interface SplitRules {
  readonly names: readonly (readonly [HostPattern, CompiledRule])[];
  readonly addresses: readonly (readonly [Cidr, CompiledRule])[];
}

/** An address among the domain rules is a block of one address, with that rule's ports, methods and paths. */
function split(rules: readonly DomainRule[]): SplitRules {
  const names: [HostPattern, CompiledRule][] = [];
  const addresses: [Cidr, CompiledRule][] = [];
  for (const rule of carried(rules)) {
    if (rule.host.kind !== 'ip') {
      names.push([rule.host, compiled(rule, null)]);
      continue;
    }
    const { family, bytes, text } = rule.host.address;
    const prefix = family === 4 ? 32 : 128;
    const block = { family, bytes, prefix, text: `${text}/${prefix}` };
    addresses.push([block, compiled(rule, block)]);
  }
  return { names, addresses };
}

function compiled(rule: RuleBody, block: Cidr | null): CompiledRule {
  const { label, protocol, ports, methods, paths, tunnel, scriptBodyBytes } = rule;
  const lifts = block !== null && isPrivateBlock(block);
  return { label, protocol, ports, methods, paths, tunnel, scriptBodyBytes, lifts };
}

function secretScopes(secret: SecretSpec): readonly (readonly [HostPattern, SecretScope])[] {
  return secret.hosts.map(({ host, port }) => [
    host,
    { secret: secret.name, port, allowHttp: secret.allowHttp },
  ]);
}

function dnsSettings(layers: readonly PolicyDocument[]): DnsSettings {
  const said = layers.map(layer => layer.dns);
  return {
    mode: said.findLast(dns => dns.mode !== undefined)?.mode ?? 'synthetic',
    servers: said.findLast(dns => dns.servers !== undefined)?.servers ?? [],
    searchDomains: said.flatMap(dns => dns.searchDomains ?? []),
    blockPrivate: said.findLast(dns => dns.blockPrivate !== undefined)?.blockPrivate ?? true,
  };
}

function scriptSpec(layers: readonly PolicyDocument[]): ScriptSpec | null {
  const said: Partial<ScriptSpec> = Object.assign({}, ...layers.map(layer => layer.script));
  return said.path === undefined ? null : Object.freeze({ ...SCRIPT_LIMITS, ...said, path: said.path });
}

function mergedPorts(rules: readonly CompiledRule[]): readonly PortRange[] | 'any' {
  const sorted = rules.flatMap(rule => rule.ports).sort((a, b) => a.from - b.from);
  const merged: PortRange[] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before !== undefined && range.from <= before.to + 1) {
      merged[merged.length - 1] = { from: before.from, to: Math.max(before.to, range.to) };
    } else merged.push(range);
  }
  const [only] = merged;
  return merged.length === 1 && only?.from === 1 && only.to === 65_535 ? 'any' : merged;
}

/** Two secrets of one name would share an environment variable: neither layer can be the one that is meant. */
function* duplicateSecrets(layers: readonly PolicyDocument[]): Generator<Problem> {
  const seen = new Map<string, string>();
  for (const { source, secrets } of layers) {
    for (const { name, label, hosts } of secrets) {
      const first = seen.get(name);
      const where = hosts.map(({ host }) => patternText(host)).join(', ');
      if (first !== undefined)
        yield { path: label, message: `the secret ${name} (for ${where}) is already defined in ${first}` };
      seen.set(name, `${source}: ${label}`);
    }
  }
}

const NO_LIMITS: PolicyLimits = {
  maxEgressBps: null,
  maxIngressBps: null,
  maxConnections: null,
  requestsPerSecond: null,
  maxRequestHeadBytes: null,
  maxRequestBodyBytes: null,
  maxResponseBodyBytes: null,
  upstreamHeadMs: null,
  idleMs: null,
};
