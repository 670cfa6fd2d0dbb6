/**
 * A policy as YAML that says exactly what was gathered: every rule names its ports, and methods and paths wherever they
 * were seen. Pure; deterministic, so that two records of the same run give the same text.
 */
import { parseAddress } from '../../core/address.js';
import type { Gathered, PortUse, Site } from './suggest.js';

export interface PolicyTextOptions {
  /** Where it comes from, for its first line. */
  readonly source: string;
}

interface Rule {
  readonly host: string;
  readonly ports: readonly number[];
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  readonly tunnel: boolean;
  readonly note: string | null;
}

const MOST_EXAMPLES = 24;

export function policyText(gathered: Gathered, { source }: PolicyTextOptions): string {
  const sites = [...gathered.sites.values()].sort((a, b) => (a.host < b.host ? -1 : 1));
  const names = sites.filter(({ host }) => !isAddress(host));
  const addresses = sites.filter(({ host }) => isAddress(host));
  const rules = [...names, ...addresses].flatMap(rulesOf);
  const lines = [
    `# Suggested by sallyport events suggest, from ${printableLine(source)}: what was let through, and nothing else.`,
    ...(gathered.leftOut > 0
      ? [`# ${gathered.leftOut} events of hosts that found no room here are not allowed.`]
      : []),
    'version: 1',
    'mode: block_all',
    ...section('allow_domain', rules.map(ruleLine)),
    ...section('allow_cidr', [...addresses.flatMap(cidrLines), ...names.flatMap(closedLines)]),
    ...(gathered.allowMetadata ? ["allow_metadata: true # the cloud's metadata service was reached"] : []),
    ...(gathered.openSpecial ? ['block_private_ips: false # a special-purpose address was reached'] : []),
    ...map('add_hosts', names.flatMap(pinLines)),
    ...passthrough(names),
    ...map('secrets', secretLines(gathered)),
    ...section('examples', exampleLines(rules, sites)),
  ];
  return `${lines.join('\n')}\n`;
}

function rulesOf(site: Site): readonly Rule[] {
  if (site.ports.size === 0) return site.lookedUp && !isAddress(site.host) ? [lookUpRule(site.host)] : [];
  const rules = [...site.ports]
    .sort(([a], [b]) => a - b)
    .flatMap(([port, use]) => rulesOfPort(site.host, port, use));
  return joined(rules);
}

/** A rule must allow some connection for a name to be looked up: the least of them. */
function lookUpRule(host: string): Rule {
  const note = 'looked up, never connected to';
  return { host, ports: [443], methods: ['HEAD'], paths: ['/'], tunnel: false, note };
}

function rulesOfPort(host: string, port: number, use: PortUse): readonly Rule[] {
  const plain = { host, ports: [port], tunnel: false, note: null };
  if (use.opaque || use.passthrough) {
    // Bytes to a literal address are an allow_cidr rule's.
    if (isAddress(host)) return [];
    const web = port === 80 || port === 443;
    return [{ ...plain, methods: null, paths: null, tunnel: web && use.opaque }];
  }
  const byPaths = new Map<string, string[]>();
  for (const [method, paths] of [...use.methods].sort()) {
    const key = JSON.stringify(paths.globs());
    const methods = byPaths.get(key) ?? [];
    methods.push(method);
    byPaths.set(key, methods);
  }
  return [...byPaths].map(([key, methods]) => {
    const paths = JSON.parse(key) as readonly string[] | null;
    const named = methods.every(method => /^[A-Z][A-Z0-9-]{0,31}$/.test(method));
    const note = paths === null ? 'paths with two readings were asked for: no glob describes them' : null;
    return { ...plain, methods: named ? methods : null, paths, note };
  });
}

/** Rules that differ in nothing but their port are one. */
function joined(rules: readonly Rule[]): readonly Rule[] {
  const byBody = new Map<string, Rule>();
  for (const rule of rules) {
    const key = JSON.stringify([rule.methods, rule.paths, rule.tunnel]);
    const known = byBody.get(key);
    byBody.set(key, known === undefined ? rule : { ...known, ports: [...known.ports, ...rule.ports] });
  }
  return [...byBody.values()];
}

function ruleLine({ host, ports, methods, paths, tunnel, note }: Rule): string {
  const [only] = ports;
  const parts = [
    `domain: ${scalar(host)}`,
    ports.length === 1 ? `port: ${only}` : `ports: [${ports.join(', ')}]`,
    ...(methods === null ? [] : [`methods: [${methods.map(scalar).join(', ')}]`]),
    ...(paths === null ? [] : [`paths: [${paths.map(scalar).join(', ')}]`]),
    ...(tunnel ? ['tunnel: true'] : []),
  ];
  return `{ ${parts.join(', ')} }${note === null ? '' : ` # ${note}`}`;
}

/** Unread bytes to a literal address. */
function cidrLines({ host, ports }: Site): readonly string[] {
  return [...ports]
    .filter(([, use]) => use.opaque || use.passthrough)
    .sort(([a], [b]) => a - b)
    .map(([port]) => cidrLine(host, port, ''));
}

/** Private addresses of one name: a pin where there is one, else its addresses are opened. */
function closedLines({ host, closed }: Site): readonly string[] {
  if (closed.size < 2) return [];
  return [...closed].sort().map(text => {
    const colon = text.lastIndexOf(':');
    return cidrLine(
      text.slice(0, colon).replace(/^\[|\]$/g, ''),
      Number(text.slice(colon + 1)),
      ` # of ${host}`,
    );
  });
}

function cidrLine(address: string, port: number, note: string): string {
  const prefix = address.includes(':') ? 128 : 32;
  return `{ cidr: ${scalar(`${address}/${prefix}`)}, port_start: ${port} }${note}`;
}

function pinLines({ host, ports, closed }: Site): readonly string[] {
  const [only] = closed;
  if (only === undefined || closed.size > 1) return [];
  const colon = only.lastIndexOf(':');
  const samePort = ports.size === 1 && ports.has(Number(only.slice(colon + 1)));
  const target = samePort ? only.slice(0, colon).replace(/^\[|\]$/g, '') : only;
  return [`${scalar(host)}: ${scalar(target)}`];
}

function passthrough(names: readonly Site[]): readonly string[] {
  const hosts = names.filter(({ ports }) => [...ports.values()].some(use => use.passthrough));
  return hosts.length === 0
    ? []
    : ['tls:', `  passthrough: [${hosts.map(({ host }) => scalar(host)).join(', ')}]`];
}

function secretLines({ secrets }: Gathered): readonly string[] {
  return [...secrets]
    .filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, places]) => {
      const hosts = [...places].sort().map(place => {
        const { protocol, host } = new URL(place);
        return { plain: protocol === 'http:', host };
      });
      const allowHttp = hosts.some(({ plain }) => plain) ? ', allow_http: true' : '';
      const named = [...new Set(hosts.map(({ host }) => host))].map(scalar).join(', ');
      return `${name}: { hosts: [${named}]${allowHttp} } # value_from: the variable ${name}, unless you say otherwise`;
    });
}

function exampleLines(rules: readonly Rule[], sites: readonly Site[]): readonly string[] {
  const allowed = sites.flatMap(site =>
    [...site.ports].sort(([a], [b]) => a - b).flatMap(([port, use]) => exampleOf(site, port, use) ?? []),
  );
  const [first] = rules.filter(({ methods, paths }) => methods !== null && paths !== null);
  const denied =
    first === undefined || first.note !== null
      ? []
      : [`{ url: ${scalar(urlOf(first))}, method: TRACE, expect: deny, reason: method-not-allowed }`];
  return [
    ...allowed.slice(0, MOST_EXAMPLES),
    ...denied.filter(() => !rules.some(({ host, methods }) => host === first?.host && allowsTrace(methods))),
    '{ url: "https://not-recorded.example/", expect: deny, reason: no-rule }',
  ];
}

function allowsTrace(methods: readonly string[] | null): boolean {
  return methods?.includes('TRACE') ?? true;
}

function urlOf({ host, ports, paths }: Rule): string {
  const [port = 443] = ports;
  const scheme = port === 80 ? 'http' : 'https';
  const where = host.includes(':') ? `[${host}]` : host;
  const rest = port === 80 || port === 443 ? '' : `:${port}`;
  return `${scheme}://${where}${rest}${(paths?.[0] ?? '/').replaceAll('*', 'x')}`;
}

function exampleOf(site: Site, port: number, use: PortUse): string | null {
  const { host, closed } = site;
  const resolves = closed.size > 1 ? `, resolves_to: [${addressesOf(closed).map(scalar).join(', ')}]` : '';
  if (use.opaque || use.passthrough) {
    const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    return `{ connect: ${scalar(where)}, expect: allow${resolves} }`;
  }
  const { sample } = use;
  if (sample === null || !/^[A-Z][A-Z0-9-]{0,31}$/.test(sample.method)) return null;
  const method = sample.method === 'GET' ? '' : `, method: ${sample.method}`;
  return `{ url: ${scalar(sample.url)}${method}, expect: allow${resolves} }`;
}

function addressesOf(destinations: ReadonlySet<string>): readonly string[] {
  const texts = [...destinations].map(text => text.slice(0, text.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
  return [...new Set(texts)].sort();
}

function isAddress(host: string): boolean {
  return parseAddress(host).ok;
}

function section(key: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`${key}:`, ...lines.map(line => `  - ${line}`)];
}

function map(key: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`${key}:`, ...lines.map(line => `  ${line}`)];
}

/** Plain where YAML reads it as the same string whatever stands around it; else as JSON, which is YAML too. */
function scalar(text: string): string {
  return /^[A-Za-z][A-Za-z0-9.-]*$/.test(text) && !AMBIGUOUS.test(text) ? text : JSON.stringify(text);
}

const AMBIGUOUS = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

function printableLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
