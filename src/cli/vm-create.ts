/** `sallyport vm create`: the flags as a configuration (shell: reads the configuration's file). */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorCode } from '../core/errors.js';
import { isProfile } from '../policy/load.js';
import { toCamel } from '../runtime/codec.js';
import { type ConfigOptions, emitConfig, parseConfig } from '../runtime/config.js';
import type { CreateOptions, Runtime } from '../runtime/runtime.js';
import { ErrInvalidConfig, type NetworkConfig, parseVolumeMount, type SecretConfig } from '../vm/index.js';
import type { Io } from './io.js';
import { parseBridge } from './machine-flags.js';
import { type ImageFlags, registriesOf, showPull } from './machine-image.js';
import { withRuntime } from './vm.js';

export interface CreateFlags extends ImageFlags {
  readonly backend: string;
  readonly config?: string;
  readonly cpus?: string;
  readonly memory?: string;
  readonly persist: boolean;
  readonly network?: 'nat' | 'disabled' | 'bridged';
  /** `NAME[,ADDRESS/LENGTH[,ROUTER]]` */
  readonly bridge?: string;
  readonly mount?: readonly string[];
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly upstreamCa?: readonly string[];
  readonly policy: readonly string[];
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly allowCidr?: readonly string[];
  readonly denyCidr?: readonly string[];
  readonly addHost: readonly string[];
  readonly secret: readonly string[];
  readonly passthrough?: readonly string[];
}

export async function runCreate(name: string | undefined, flags: CreateFlags, io: Io): Promise<number> {
  const registries = registriesOf(flags);
  const work = async (runtime: Runtime): Promise<number> => {
    const options = optionsOf(flags);
    const told = showPull(options.image ?? '', { shown: io, isTerminal: process.stderr.isTTY === true });
    try {
      const sandbox = await runtime.create(name, { ...options, onPull: told.step });
      told.end();
      io.stdout(`${sandbox.id}\n`);
      return 0;
    } catch (error) {
      told.end();
      throw error;
    }
  };
  return await withRuntime(io, work, registries === null ? {} : { imageRegistries: registries });
}

/** What the file says, and the flags on top of it. */
export function optionsOf(flags: CreateFlags): CreateOptions {
  const file = flags.config === undefined ? null : configOf(flags.config);
  const network = networkOf(flags, file?.network as Partial<NetworkConfig> | undefined);
  const mounts = (flags.mount ?? []).map(volume => {
    const { hostPath, guestPath, readonly } = parseVolumeMount(volume, file?.vfs?.workspace);
    return { hostPath, guestPath, readOnly: readonly };
  });
  return {
    ...file,
    backend: flags.backend,
    detach: true,
    ...(flags.image !== undefined && { image: flags.image }),
    ...(flags.cpus !== undefined && { cpus: Number(flags.cpus) }),
    ...(flags.memory !== undefined && { memoryMb: Number(flags.memory) }),
    ...(flags.persist && { persist: true }),
    ...(flags.workdir !== undefined && { workingDir: flags.workdir }),
    env: { ...file?.env, ...Object.fromEntries((flags.env ?? []).map(variable)) },
    mounts,
    network,
  };
}

function configOf(path: string): ConfigOptions {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ErrInvalidConfig(`--config: ${path} cannot be read (${errorCode(error)})`);
  }
  return toCamel(emitConfig(parseConfig(text))) as ConfigOptions;
}

function networkOf(flags: CreateFlags, file: Partial<NetworkConfig> = {}): Partial<NetworkConfig> {
  if (flags.network === 'disabled') return { enabled: false };
  const { policy = {} } = file;
  const more = (
    key: 'allowDomain' | 'denyDomain' | 'allowCidr' | 'denyCidr',
    given: readonly string[] = [],
  ) => (given.length === 0 ? {} : { [key]: [...(policy[key] ?? []), ...given] });
  const pins = Object.fromEntries(flags.addHost.map(pin));
  return {
    ...file,
    enabled: true,
    mode: flags.network ?? (file.mode === 'bridged' ? 'bridged' : 'nat'),
    ...(flags.bridge !== undefined && parseBridge(flags.bridge)),
    policyFiles: [
      ...(file.policyFiles ?? []),
      ...flags.policy.map(name => (isProfile(name) ? name : resolve(name))),
    ],
    policy: {
      ...policy,
      ...more('allowDomain', flags.allow),
      ...more('denyDomain', flags.deny),
      ...more('allowCidr', flags.allowCidr),
      ...more('denyCidr', flags.denyCidr),
      ...(flags.addHost.length > 0 && { addHosts: { ...(policy.addHosts as object | undefined), ...pins } }),
      ...(flags.passthrough !== undefined && { tls: { passthrough: flags.passthrough } }),
    },
    secrets: { ...file.secrets, ...Object.fromEntries(flags.secret.map(secret)) },
    upstreamCa: [...(file.upstreamCa ?? []), ...(flags.upstreamCa ?? [])].map(path => resolve(path)),
  };
}

function variable(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new ErrInvalidConfig('--env: a variable is NAME=VALUE');
  return [text.slice(0, at), text.slice(at + 1)];
}

function pin(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new ErrInvalidConfig(`--add-host: '${text}' is not NAME=IP[:PORT]`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `NAME@host[,host]`. The text may hold a value, so no message shows it. */
function secret(text: string): readonly [string, SecretConfig] {
  const match = /^([A-Za-z_][A-Za-z0-9_]{0,127})@([^@=]+)$/.exec(text);
  if (match === null) {
    throw new ErrInvalidConfig(
      '--secret: a sandbox is written down, so it is NAME@host[,host]; the value is in the environment',
    );
  }
  return [match[1] ?? '', { hosts: (match[2] ?? '').split(',') }];
}
