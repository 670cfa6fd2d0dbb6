/**
 * A sandbox's configuration, from a file or an option to a whole `Config`: checked, with the defaults filled in.
 *
 * Pure. Every problem is told at once, with its path as the file has it.
 */
import { posix } from 'node:path';
import { type Problem, problemText } from '../policy/problem.js';
import { schemaProblems } from '../policy/schema-problems.js';
import { parseYaml } from '../policy/yaml.js';
import {
  type Config,
  DEFAULT_CPUS,
  DEFAULT_DISK_SIZE_MB,
  DEFAULT_DNS_SERVERS,
  DEFAULT_MEMORY_MB,
  DEFAULT_TIMEOUT_SECONDS,
  DEFAULT_WORKSPACE,
  type DirectMount,
  ErrInvalidConfig,
  type Mount,
  type NetworkConfig,
  type Resources,
  type VFSConfig,
} from '../vm/index.js';
import { toCamel, toSnake } from './codec.js';
import { configSchema } from './config-schema.js';
import { strictNetworkProfile } from './profiles.js';

type Part<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** What a caller says of a sandbox; what it does not say has its default. */
export interface ConfigOptions extends Part<Omit<Config, 'resources' | 'network'>> {
  readonly resources?: Part<Resources> | undefined;
  readonly network?: Part<NetworkConfig> | undefined;
  /** The same as `resources.cpus`. */
  readonly cpus?: number | undefined;
  /** The same as `resources.memoryMb`. */
  readonly memoryMb?: number | undefined;
  /** The same as `vfs.directMounts`, as a list. */
  readonly mounts?: readonly Mount[] | undefined;
  /** @deprecated The older name of `localBundlePath`. */
  readonly rootfsPath?: string | undefined;
}

export interface ConfigDefaults {
  /** Of a sandbox that says nothing of a network. Default: `strictNetworkProfile()`. */
  readonly network?: NetworkConfig;
}

/** One processor, 512 MiB, a network in which nothing passes. */
export function defaultConfig(): Config {
  return configFrom({});
}

/**
 * Reads JSON or YAML text, or a value with the names of files, over the defaults. Throws `ErrInvalidConfig`, whose
 * message lists every problem.
 */
export function parseConfig(input: unknown, defaults: ConfigDefaults = {}): Config {
  if (typeof input !== 'string') return checked(input, defaults);
  const yaml = parseYaml(input);
  if (!yaml.ok) throw invalid(yaml.error);
  return checked(yaml.value.value ?? {}, defaults, yaml.value);
}

/** The same, of options with the names of the program. */
export function configFrom(options: ConfigOptions, defaults: ConfigDefaults = {}): Config {
  return checked(toSnake(options), defaults);
}

/** The configuration as a file has it. */
export function emitConfig(config: Config): unknown {
  return toSnake(config);
}

/** Where the sandbox's own files are. */
export function getWorkspace(config: { readonly vfs?: VFSConfig } | VFSConfig | null | undefined): string {
  const vfs = config !== null && config !== undefined && 'vfs' in config ? config.vfs : config;
  return (vfs as VFSConfig | null | undefined)?.workspace ?? DEFAULT_WORKSPACE;
}

/** The name servers that are configured, or the defaults. */
export function getDNSServers(network?: Part<NetworkConfig> | null): readonly string[] {
  const servers = network?.dnsServers ?? [];
  return servers.length > 0 ? servers : DEFAULT_DNS_SERVERS;
}

function checked(
  value: unknown,
  defaults: ConfigDefaults,
  text?: Parameters<typeof schemaProblems>[2],
): Config {
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) throw invalid(schemaProblems(parsed.error.issues, value, text));
  return filled(toCamel(parsed.data) as ConfigOptions, defaults);
}

function invalid(problems: readonly Problem[]): Error {
  const list = problems.map(problem => problemText('config', problem));
  return new ErrInvalidConfig(`invalid configuration: ${list.join('\n')}`);
}

function filled(options: ConfigOptions, defaults: ConfigDefaults): Config {
  const { resources = {}, cpus, memoryMb, mounts = [], rootfsPath, network, vfs = {}, ...rest } = options;
  const localBundlePath = rest.localBundlePath ?? rootfsPath;
  const config = {
    ...rest,
    image: rest.image ?? '',
    privileged: rest.privileged ?? false,
    persist: rest.persist ?? false,
    env: rest.env ?? {},
    extraDisks: rest.extraDisks ?? [],
    resources: {
      cpus: cpus ?? resources.cpus ?? DEFAULT_CPUS,
      memoryMb: memoryMb ?? resources.memoryMb ?? DEFAULT_MEMORY_MB,
      diskSizeMb: resources.diskSizeMb ?? DEFAULT_DISK_SIZE_MB,
      ...(resources.pids !== undefined && { pids: resources.pids }),
      timeoutSeconds: resources.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    },
    network: networkOf(network, defaults),
    vfs: { ...vfs, workspace: getWorkspace(vfs), directMounts: directMounts(vfs, mounts) },
    ...(localBundlePath !== undefined && { localBundlePath: posix.resolve(localBundlePath) }),
  };
  return config as Config;
}

function networkOf(given: Part<NetworkConfig> | undefined, defaults: ConfigDefaults): NetworkConfig {
  if (given === undefined) return defaults.network ?? strictNetworkProfile();
  const enabled = given.enabled ?? given.mode !== 'disabled';
  return { ...given, enabled, mode: enabled ? (given.mode ?? 'nat') : 'disabled' } as NetworkConfig;
}

function directMounts({ directMounts = {} }: VFSConfig, list: readonly Mount[]): Record<string, DirectMount> {
  const listed = list.map(({ hostPath, guestPath, readOnly = false }) => {
    return [guestPath, { hostPath, readonly: readOnly }] as const;
  });
  const all = [...Object.entries(directMounts), ...listed];
  return Object.fromEntries(
    all.map(([path, mount]) => [path, { ...mount, hostPath: posix.resolve(mount.hostPath) }]),
  );
}
