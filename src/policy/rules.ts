/**
 * Rules and their pieces, as both the policy file and the flags write them.
 *
 * Pure; errors are sentences for the operator. Knows neither YAML nor the schema, whose libraries cost a command
 * that is given nothing but flags a tenth of a second.
 */
import { type IpAddress, parseCidr, unmapped } from '../core/address.js';
import { parsePort } from '../core/authority.js';
import { parseHost } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { parsePathGlob } from './path.js';
import { parseHostPort } from './pattern.js';
import type { CidrRule, DomainRule, HostPin, PortRange, Protocol } from './policy.js';
import { quoted } from './problem.js';

/** Where HTTP lives: what a domain rule without a port means. */
export const WEB_PORTS: readonly PortRange[] = Object.freeze([
  { from: 80, to: 80 },
  { from: 443, to: 443 },
]);

export const ALL_PORTS: readonly PortRange[] = Object.freeze([{ from: 1, to: 65_535 }]);

/** Reads `IP` or `IP:PORT` (`[v6]:PORT`): what an operator pins a name or a resolver to. */
export function parseDialTarget(text: string): Result<HostPin, string> {
  const fault = err(`${quoted(text)} is not an address: write IP, IP:PORT or [IPv6]:PORT`);
  const bareV6 = !text.startsWith('[') && text.split(':').length > 2;
  const hostEnd = bareV6 ? -1 : text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':');
  const hostPart = hostEnd > 0 ? text.slice(0, hostEnd) : text;
  const address = literal(bareV6 ? `[${hostPart}]` : hostPart);
  if (address === null) return fault;
  const rest = text.slice(hostPart.length);
  if (rest === '') return ok({ address, port: null });
  const port = rest.startsWith(':') ? parsePort(rest.slice(1)) : null;
  return port?.ok ? ok({ address, port: port.value }) : fault;
}

function literal(text: string): IpAddress | null {
  const host = parseHost(text);
  return host.ok && host.value.kind === 'ip' ? unmapped(host.value.address) : null;
}

/** The error is a sentence for the operator. */
export function checkCidr(value: string): Result<unknown, string> {
  const block = parseCidr(value);
  if (!block.ok) {
    const why = block.error === 'host-bits-set' ? ': bits past the prefix are set' : '';
    return { ok: false, error: `${quoted(value)} is not a CIDR block${why}` };
  }
  const { family, bytes, prefix } = block.value;
  const first = unmapped({ family, bytes, text: '' });
  if (first.family !== family) {
    const plain = prefix >= 96 ? `; write '${first.text}/${prefix - 96}'` : '';
    return { ok: false, error: `${quoted(value)} is a block of IPv4-mapped addresses${plain}` };
  }
  return block;
}

/** A secret goes to hosts that were named and verified: `*` names nobody, and an address is no name. */
export function checkSecretHost(value: string): Result<unknown, string> {
  const parsed = parseHostPort(value);
  if (!parsed.ok) return parsed;
  if (parsed.value.host.kind === 'any')
    return { ok: false, error: `a secret's hosts are named; '*' is not a name` };
  if (parsed.value.host.kind === 'ip') {
    return {
      ok: false,
      error: `${quoted(value)} is an address; a secret goes to names (add_hosts can give it one)`,
    };
  }
  return parsed;
}

/** Most of a content that a script may be shown, in bytes. */
export const MAX_SCRIPT_BODY = 1_048_576;

/** Reads `500`, `64KiB` or `1MiB`: a whole number of bytes, above zero and at most `MAX_SCRIPT_BODY`. */
export function parseByteSize(text: string): Result<number, string> {
  const [, digits, unit = ''] = /^([1-9]\d{0,6})(KiB|MiB|B)?$/.exec(text) ?? [];
  const bytes = Number(digits) * (unit === 'MiB' ? 1_048_576 : unit === 'KiB' ? 1_024 : 1);
  if (digits === undefined || bytes > MAX_SCRIPT_BODY) {
    return err(`${quoted(text)} is not a size such as 64KiB, of at most 1MiB`);
  }
  return ok(bytes);
}

/** Most of a content that is put on record: it stands in one line, every byte of it perhaps as six. */
export const MAX_CAPTURE = 262_144;

/** As `parseByteSize`, of at most `MAX_CAPTURE`. */
export function parseCaptureSize(text: string): Result<number, string> {
  const size = parseByteSize(text);
  if (size.ok && size.value <= MAX_CAPTURE) return size;
  return err(`${quoted(text)} is not a size such as 64KiB, of at most 256KiB`);
}

/** A domain rule as it is written. */
export type DomainEntry =
  | string
  | {
      readonly domain: string;
      readonly port?: number | undefined;
      readonly ports?: readonly number[] | undefined;
      readonly protocol?: Protocol | undefined;
      readonly methods?: readonly string[] | undefined;
      readonly paths?: readonly string[] | undefined;
      readonly tunnel?: boolean | undefined;
      readonly script_body?: string | undefined;
    };

/** A CIDR rule as it is written. */
export type CidrEntry =
  | string
  | {
      readonly cidr: string;
      readonly protocol?: Protocol | undefined;
      readonly port_start?: number | undefined;
      readonly port_end?: number | undefined;
    };

/** The rule of one entry; `defaultPorts` are those of an entry without any. */
export function domainRule(
  entry: DomainEntry,
  label: string,
  defaultPorts: readonly PortRange[],
): DomainRule {
  const rule: Exclude<DomainEntry, string> = typeof entry === 'string' ? { domain: entry } : entry;
  const { host, port } = sure(parseHostPort(rule.domain));
  const ports = rule.ports ?? [rule.port ?? port].filter(value => value !== null && value !== undefined);
  return {
    label,
    host,
    ports: ports.length === 0 ? defaultPorts : ports.map(value => ({ from: value, to: value })),
    protocol: rule.protocol ?? 'any',
    methods: rule.methods ? new Set(rule.methods) : null,
    paths: rule.paths ? rule.paths.map(glob => sure(parsePathGlob(glob))) : null,
    tunnel: rule.tunnel ?? null,
    scriptBodyBytes: rule.script_body === undefined ? null : sure(parseByteSize(rule.script_body)),
  };
}

export function cidrRule(entry: CidrEntry, label: string): CidrRule {
  const rule: Exclude<CidrEntry, string> = typeof entry === 'string' ? { cidr: entry } : entry;
  const { port_start: from, port_end: to } = rule;
  return {
    label,
    block: sure(parseCidr(rule.cidr)),
    ports: from === undefined ? ALL_PORTS : [{ from, to: to ?? from }],
    protocol: rule.protocol ?? 'any',
    methods: null,
    paths: null,
    // An address says nothing about HTTP: whatever the port, its bytes may be anything.
    tunnel: true,
    scriptBodyBytes: null,
  };
}

/** The value of a text that was checked with the same parser before. */
export function sure<T>(result: Result<T, unknown>): T {
  if (!result.ok) throw new Error(`a rule was built of what its parser refuses (${String(result.error)})`);
  return result.value;
}
