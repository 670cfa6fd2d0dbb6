/**
 * A sandbox's network as policy layers, and the checks that go before (shell: reads policy files and the host's
 * interfaces).
 */
import { networkInterfaces } from 'node:os';
import { cidrContains, parseAddress, parseCidr } from '../core/address.js';
import { documentFrom } from '../policy/document.js';
import { loadPolicy } from '../policy/load.js';
import type { PolicyDocument, SecretSpec } from '../policy/policy.js';
import { type Problem, problemText } from '../policy/problem.js';
import { schemaProblems } from '../policy/schema-problems.js';
import { ErrNetworkInvalidConfig, ErrNetworkUnsupportedPlatform, type NetworkConfig } from '../vm/index.js';
import { toSnake } from './codec.js';
import { networkSchema } from './network-schema.js';

/**
 * Throws `ErrNetworkInvalidConfig`, whose message lists every problem, or `ErrNetworkUnsupportedPlatform` for mode
 * `bridged`: a bridged machine would not pass by the gateway.
 */
export function validateNetworkConfig(network: Partial<NetworkConfig> | null | undefined): void {
  if (network === null || network === undefined) return;
  const value = toSnake(network);
  const parsed = networkSchema.safeParse(value);
  if (!parsed.success) throw invalid(schemaProblems(parsed.error.issues, value));
  if (network.mode === 'bridged' && network.enabled !== false) {
    throw new ErrNetworkUnsupportedPlatform(
      'network.mode: bridged would lead past the gateway, and no backend offers it; take nat',
    );
  }
}

export interface NetworkLayers {
  readonly layers: readonly PolicyDocument[];
  /** Values of the secrets that were given by value. Never print it. */
  readonly literals: ReadonlyMap<string, string>;
}

/** The most general first; `values` are those of the secrets that are not written down. */
export async function layersOf(
  network: NetworkConfig,
  values: ReadonlyMap<string, string>,
): Promise<NetworkLayers> {
  const names = [...(network.profile === undefined ? [] : [network.profile]), ...(network.policyFiles ?? [])];
  const files = await Promise.all(names.map(loadPolicy));
  const own = network.policy === undefined ? [] : [documentOf(toSnake(network.policy), 'network.policy')];
  const lan = network.isolateFromHostLan === true ? [lanLayer()] : [];
  const flat = documentOf(flatPolicy(network), 'network');
  const literal = { kind: 'literal' } as const;
  const secrets = flat.secrets.map((spec): SecretSpec => {
    return values.has(spec.name) ? { ...spec, valueFrom: literal } : spec;
  });
  return { layers: [...files, ...own, { ...flat, secrets }, ...lan], literals: values };
}

/** The fields that a network has beside its `policy`. */
function flatPolicy(network: NetworkConfig): unknown {
  const { allowedHosts, blockPrivateIps, secrets, policyScript, dnsServers, searchDomains } = network;
  const withoutValues = Object.entries(secrets ?? {}).map(([name, { value: _, ...spec }]) => [name, spec]);
  return toSnake({
    allowedHosts,
    blockPrivateIps,
    policyScript,
    dnsServers,
    ...(searchDomains !== undefined && { dns: { searchDomains } }),
    ...(withoutValues.length > 0 && { secrets: Object.fromEntries(withoutValues) }),
  });
}

function documentOf(value: unknown, source: string): PolicyDocument {
  const parsed = documentFrom(value, source);
  if (!parsed.ok) throw invalid(parsed.error.map(problem => ({ ...problem, path: problem.path })));
  return parsed.value;
}

function invalid(problems: readonly Problem[]): Error {
  const list = problems.map(problem => problemText('network', problem));
  return new ErrNetworkInvalidConfig(`invalid network config: ${list.join('\n')}`);
}

/** Denies every block that an interface of the host is in: deny goes before whatever allows. */
function lanLayer(): PolicyDocument {
  return documentOf({ deny_cidr: hostBlocks() }, 'isolate_from_host_lan');
}

/** `192.168.1.0/24` of an interface with 192.168.1.7/24; loopback is nobody's neighbour. */
export function hostBlocks(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap(list => list ?? []);
  const blocks = addresses
    .filter(({ internal, cidr }) => !internal && cidr !== null)
    .flatMap(({ cidr }) => blockOf(cidr ?? ''));
  return [...new Set(blocks)];
}

/** The block of an interface's address and prefix, host bits cleared. */
export function blockOf(cidr: string): readonly string[] {
  const [text = '', prefix = ''] = cidr.split('/');
  const address = parseAddress(text);
  if (!address.ok) return [];
  const bytes = address.value.bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, Number(prefix) - 8 * index));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  const block = parseCidr(`${addressText(bytes)}/${prefix}`);
  return block.ok && cidrContains(block.value, address.value) ? [block.value.text] : [];
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  return groups.join(':');
}
