/**
 * One layer of policy: text or a plain value in, `PolicyDocument` or every problem at once out.
 *
 * Pure. `schema.ts` has checked every leaf before anything is built here.
 */
import { dirname, isAbsolute, join } from 'node:path';
import { parseAddress, unmapped } from '../core/address.js';
import { type Hostname, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { parseHostPattern, parseHostPort } from './pattern.js';
import type {
  CidrRule,
  DnsSettings,
  DomainRule,
  Example,
  HostPin,
  PolicyDocument,
  PolicyLimits,
  PortRange,
  ScriptSpec,
  SecretSpec,
} from './policy.js';
import type { Problem } from './problem.js';
import { proxyRoutes } from './proxy-routes.js';
import {
  ALL_PORTS,
  type CidrEntry,
  cidrRule,
  type DomainEntry,
  domainRule,
  parseCaptureSize,
  parseDialTarget,
  sure,
  WEB_PORTS,
} from './rules.js';
import { type PolicyInput, policySchema, proxySettings } from './schema.js';
import { schemaProblems } from './schema-problems.js';
import { parseDuration } from './secret-schema.js';
import { signingSpec, valueSource } from './secret-source.js';
import { parseSubject } from './subject.js';
import { parseYaml, type YamlText } from './yaml.js';

/** Reads a YAML or JSON policy. `source` names it in messages. An empty file is a layer that says nothing. */
export function parsePolicy(text: string, source: string): Result<PolicyDocument, readonly Problem[]> {
  const yaml = parseYaml(text);
  return yaml.ok ? documentFrom(yaml.value.value ?? {}, source, yaml.value) : yaml;
}

/** Reads a policy that is a plain value already: an option of the library, or a parsed file. */
export function documentFrom(
  value: unknown,
  source: string,
  text?: YamlText,
): Result<PolicyDocument, readonly Problem[]> {
  const parsed = policySchema.safeParse(value);
  if (!parsed.success) return err(schemaProblems(parsed.error.issues, value, text));
  return ok(build(parsed.data, source));
}

function build(input: PolicyInput, source: string): PolicyDocument {
  const hosts = (input.allowed_hosts ?? []).map((domain, i) =>
    domainRule(domain, `allowed_hosts[${i}]`, WEB_PORTS),
  );
  return Object.freeze({
    source,
    mode: input.mode ?? null,
    blockPrivateIps: input.block_private_ips ?? null,
    allowMetadata: input.allow_metadata ?? null,
    allowDomain: [...domainRules(input.allow_domain, 'allow_domain', WEB_PORTS), ...hosts],
    denyDomain: domainRules(input.deny_domain, 'deny_domain', ALL_PORTS),
    allowCidr: cidrRules(input.allow_cidr, 'allow_cidr'),
    denyCidr: cidrRules(input.deny_cidr, 'deny_cidr'),
    addHosts: pins(input.add_hosts),
    dns: dnsSettings(input),
    passthrough: (input.tls?.passthrough ?? []).map(text => sure(parseHostPattern(text))),
    limits: limits(input.limits ?? {}),
    proxy: input.proxy === undefined ? null : sure(proxyRoutes(proxySettings(input.proxy))),
    secrets: Object.entries(input.secrets ?? {}).map(([name, secret]) => secretSpec(name, secret)),
    script: scriptSpec(input, source),
    captureBytes: input.capture?.bodies === undefined ? null : sure(parseCaptureSize(input.capture.bodies)),
    examples: (input.examples ?? []).map(example),
  });
}

function domainRules(
  entries: readonly DomainEntry[] | undefined,
  key: string,
  ports: readonly PortRange[],
): DomainRule[] {
  return (entries ?? []).map((entry, i) => domainRule(entry, `${key}[${i}]`, ports));
}

function cidrRules(entries: readonly CidrEntry[] | undefined, key: string): CidrRule[] {
  return (entries ?? []).map((entry, i) => cidrRule(entry, `${key}[${i}]`));
}

function pins(input: PolicyInput['add_hosts']): ReadonlyMap<Hostname, HostPin> {
  return new Map(
    Object.entries(input ?? {}).map(([name, target]) => [
      sure(parseHostname(name)),
      sure(parseDialTarget(target)),
    ]),
  );
}

const DNS_PORT = 53;

function dnsSettings({ dns, dns_servers }: PolicyInput): Partial<DnsSettings> {
  const servers = [...(dns?.servers ?? []), ...(dns_servers ?? [])].map(text => {
    const { address, port } = sure(parseDialTarget(text));
    return { address, port: port ?? DNS_PORT };
  });
  return {
    ...(dns?.mode !== undefined && { mode: dns.mode }),
    ...(servers.length > 0 && { servers }),
    ...(dns?.search_domains && { searchDomains: dns.search_domains.map(name => sure(parseHostname(name))) }),
    ...(dns?.block_private !== undefined && { blockPrivate: dns.block_private }),
  };
}

function secretSpec(name: string, input: NonNullable<PolicyInput['secrets']>[string]): SecretSpec {
  return {
    name,
    label: `secrets.${name}`,
    hosts: input.hosts.map(text => sure(parseHostPort(text))),
    valueFrom: valueSource(name, input.value_from),
    placeholder: input.placeholder ?? null,
    allowHttp: input.allow_http ?? false,
    ...(input.in && { in: input.in }),
    ...(input.max_occurrences !== undefined && { maxOccurrences: input.max_occurrences }),
    ...(input.redact !== undefined && { redact: input.redact }),
    ...(input.require_placeholder !== undefined && { requirePlaceholder: input.require_placeholder }),
    ...(input.on_leak !== undefined && { onLeak: input.on_leak }),
    ...(input.refresh !== undefined && { refreshMs: sure(parseDuration(input.refresh)) }),
    ...(input.sign && { sign: signingSpec(input.sign) }),
  };
}

function example(input: NonNullable<PolicyInput['examples']>[number], index: number): Example {
  const kind = input.url === undefined ? 'connect' : 'url';
  const { authority, path } = sure(parseSubject(kind, input.url ?? input.connect ?? ''));
  const resolvesTo = (input.resolves_to ?? []).map(text => unmapped(sure(parseAddress(text))));
  const subject =
    kind === 'url'
      ? ({ kind, authority, path, method: input.method ?? 'GET', resolvesTo } as const)
      : ({ kind, authority, resolvesTo } as const);
  return {
    label: `examples[${index}]`,
    subject,
    expect: input.expect,
    reason: input.reason ?? null,
    rule: input.rule ?? null,
  };
}

/** A path is relative to the file that names it. */
function scriptSpec({ policy_script: path, script }: PolicyInput, source: string): Partial<ScriptSpec> {
  return {
    ...(path !== undefined && { path: isAbsolute(path) ? path : join(dirname(source), path) }),
    ...(script?.timeout_ms !== undefined && { timeoutMs: script.timeout_ms }),
    ...(script?.memory_mb !== undefined && { memoryMb: script.memory_mb }),
  };
}

/** Snake case to camel case; what is not given is left out, so that a layer says only what it says. */
function limits(input: NonNullable<PolicyInput['limits']>): Partial<PolicyLimits> {
  const named = {
    maxEgressBps: input.max_egress_bps,
    maxIngressBps: input.max_ingress_bps,
    maxConnections: input.max_connections,
    requestsPerSecond: input.requests_per_second,
    maxRequestHeadBytes: input.max_request_head_bytes,
    maxRequestBodyBytes: input.max_request_body_bytes,
    maxResponseBodyBytes: input.max_response_body_bytes,
    upstreamHeadMs: input.upstream_head_ms,
    idleMs: input.idle_ms,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
