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
import {
  ErrInvalidConfig,
  ErrNetworkInvalidConfig,
  ErrNetworkUnsupportedPlatform,
  type NetworkConfig,
} from '../vm/index.js';
import { toSnake } from './codec.js';
import { networkSchema } from './network-schema.js';

/**
 * Throws `ErrNetworkInvalidConfig`, whose message lists every problem; for mode `bridged`, which is past the gateway,
 * `ErrNetworkUnsupportedPlatform` unless root names the bridge, and `ErrInvalidConfig` with secrets.
 */
export function validateNetworkConfig(network: Partial<NetworkConfig> | null | undefined): void {
  if (network === null || network === undefined) return;
  const value = toSnake(network);
  const parsed = networkSchema.safeParse(value);
  if (!parsed.success) throw invalid(schemaProblems(parsed.error.issues, value));
  if (!isBridged(network)) return;
  if (network.bridge === undefined) {
    throw new ErrNetworkUnsupportedPlatform(
      'network.mode: bridged would lead past the gateway: take nat, or, as root, name the bridge of this host that the machine is to be plugged into (network.bridge)',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new ErrNetworkUnsupportedPlatform(
      'network.mode: bridged changes the network of the host: only root may ask for it; take nat',
    );
  }
  if (Object.keys(network.secrets ?? {}).length > 0) throw noSecrets();
}

export function isBridged({ mode, enabled }: Partial<NetworkConfig>): boolean {
  return mode === 'bridged' && enabled !== false;
}

/** No gateway would put values in the place of placeholders, nor keep them from anybody. */
export function refuseBridgedSecrets(
  network: Partial<NetworkConfig>,
  layers: readonly Pick<PolicyDocument, 'secrets'>[],
): void {
  if (isBridged(network) && layers.some(layer => layer.secrets.length > 0)) throw noSecrets();
}

function noSecrets(): Error {
  return new ErrInvalidConfig(
    'network.secrets: a bridged machine is past the gateway, which alone could fill them in: take mode nat, or leave them out',
  );
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
