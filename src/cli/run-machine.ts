/**
 * `sallyport run --vm` and `sallyport run --image`: one command in a machine of its own kernel, or in the root of an image
 * (shell: signals, the terminal, a scratch folder).
 */
import { mkdir, readdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Gateway } from '../gateway.js';
import { type BridgedTap, openBridgedTap } from '../net/bridged.js';
import { findTools } from '../net/vestibule/index.js';
import { refuseBridgedSecrets, validateNetworkConfig } from '../runtime/network.js';
import {
  type AccelWish,
  type Backend,
  type BridgedLink,
  composeCommand,
  createQemuBackend,
  DEFAULT_CPUS,
  DEFAULT_DISK_SIZE_MB,
  DEFAULT_MEMORY_MB,
  DEFAULT_WORKSPACE,
  type ExecExit,
  type ExecOptions,
  type Execution,
  type InteractiveExecution,
  type Machine,
  type MachineDoor,
  type NetworkConfig,
  parsePublish,
  parseVolumeMount,
  processBackend,
  type Resources,
  removeTree,
  type VMConfig,
} from '../vm/index.js';
import type { Io } from './io.js';
import { fractionOf, limitsOf, limitsWarning, parseBridge, wholeOf } from './machine-flags.js';
import { type ImageFlags, pulledImage } from './machine-image.js';
import { statePaths } from './paths.js';

export interface MachineFlags extends ImageFlags {
  readonly vm?: boolean;
  readonly cpus?: string;
  readonly memory?: string;
  readonly pids?: string;
  readonly disk?: string;
  readonly accel?: AccelWish;
  readonly network?: 'nat' | 'disabled' | 'bridged';
  /** `NAME[,ADDRESS/LENGTH[,ROUTER]]` */
  readonly bridge?: string;
  /** `HOST:GUEST[:ro]` */
  readonly volume?: readonly string[];
  /** `[IP:]HOSTPORT:GUESTPORT[/udp]` */
  readonly publish?: readonly string[];
  readonly workdir?: string;
  readonly env?: readonly string[];
  readonly bind?: readonly string[];
  readonly roBind?: readonly string[];
  readonly fsIsolation: boolean;
  readonly quiet: boolean;
}

/** What a machine's command gets of the caller's own variables; the rest is of another machine. */
const KEPT = /^(TERM|COLORTERM|LANG|LC_\w+|TZ|NO_COLOR)$/;

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];

export interface MachineRun {
  readonly code: number;
  /** Why the gateway stopped the machine; null if it did not. */
  readonly stopped: string | null;
}

export interface MachineRunOptions {
  readonly id: string;
  /** Paths of the host that no folder may bring into view. */
  readonly hide: readonly string[];
  /** Variables that are the gateway's alone. */
  readonly kept: readonly string[];
  readonly io: Io;
}

/** Starts a machine, runs `argv` to its end, ends it. */
export async function runInMachine(
  gateway: Gateway,
  flags: MachineFlags,
  argv: readonly string[],
  { id, hide, kept, io }: MachineRunOptions,
): Promise<MachineRun> {
  const network = networkOf(flags, gateway);
  refuseHostFolders(flags);
  const backend = backendOf(flags, io);
  const { state } = statePaths(process.env);
  await removeAbandoned(join(state, 'run'));
  const stateDir = join(state, 'run', `${id}.${process.pid}`);
  const stop = new AbortController();
  const release = onSignals(signal => stop.abort(signal));
  let machine: Machine | null = null;
  let door: Awaited<ReturnType<Gateway['openDoor']>> | null = null;
  let bridged: BridgedTap | null = null;
  try {
    const image = await imageOf(flags, state, stop.signal, io);
    if (network.mode === 'nat') door = await gateway.openDoor(id, backend.link);
    if (network.mode === 'bridged') bridged = await openBridgedTap(network.bridge ?? '', findTools());
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const config = configOf(flags, {
      ...{ id, stateDir, homeDir: state, ...image },
      ...{ door, gateway, hide },
      ...(bridged !== null && { bridge: linkOf(network, bridged) }),
    });
    machine = await backend.create(config);
    // A door that the gateway has closed leaves nothing to run for.
    void door?.closed.then(() => machine?.stop());
    await machine.start(stop.signal);
    release();
    // Whatever is quiet: a machine that no policy guards must not look like one that it does.
    if (!flags.quiet || bridged !== null) tellStart(machine, flags, io);
    if (machine.notes.length > 0) {
      const message = `by ${backend.name}`;
      gateway.bus.emit({ type: 'vm.started', sandbox: id, gateway: { message, detail: [...machine.notes] } });
    }
    const exit = await runCommand(machine, gateway, { id, flags, argv, env: environmentOf(flags, kept) });
    return { code: exit.exitCode, stopped: door?.stopped ?? null };
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    io.stderr('sallyport: stopped before the command ran\n');
    return { code: 128 + constants.signals[stop.signal.reason as NodeJS.Signals], stopped: null };
  } finally {
    release();
    await machine?.close();
    await door?.close();
    bridged?.close();
    await removeTree(stateDir);
  }
}

type NamedImage = Pick<VMConfig, 'image' | 'localBundlePath'>;

/**
 * Fetched before anything is opened: a wrong name costs no door. A path is told from a name by how it begins; a name of
 * an image begins with a letter or digit.
 */
async function imageOf(
  flags: MachineFlags,
  homeDir: string,
  signal: AbortSignal,
  io: Io,
): Promise<NamedImage> {
  if (flags.image !== undefined && /^\.{0,2}\//.test(flags.image))
    return { image: '', localBundlePath: resolve(flags.image) };
  const { env, stderr } = process;
  const place = { homeDir, env, signal, shown: flags.quiet ? null : io, isTerminal: stderr.isTTY === true };
  return { image: await pulledImage(flags, place) };
}

function backendOf({ vm, accel = 'auto', quiet }: MachineFlags, io: Io): Backend {
  if (vm !== true) return processBackend;
  return createQemuBackend({
    accel,
    ...(!quiet && { tell: message => io.stderr(`sallyport: ${message}\n`) }),
  });
}

/** The disks of runs that were killed: each folder is named after the process that made it. */
async function removeAbandoned(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const pid = Number(name.split('.').at(-1));
    if (isAlive(pid)) continue;
    await processBackend.reap?.(join(folder, name));
    await removeTree(join(folder, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM'; // somebody else's: alive
  }
}

function networkOf(flags: MachineFlags, { policy }: Gateway): NetworkConfig {
  const { vm, network: mode = 'nat', bridge, publish = [] } = flags;
  if (mode !== 'bridged') {
    if (bridge !== undefined) throw new GatewayError('CONFIG_INVALID', '--bridge is for --network bridged');
    return { enabled: mode !== 'disabled', mode };
  }
  if (vm !== true || bridge === undefined) {
    throw new GatewayError(
      'NETWORK_UNSUPPORTED',
      '--network bridged would put the machine past the gateway: take nat (the gateway) or disabled, or, as root and with --vm, name the bridge (--bridge NAME)',
    );
  }
  if (publish.length > 0)
    throw new GatewayError(
      'CONFIG_INVALID',
      '--publish leads through the gate, which a bridged machine does not have',
    );
  const network: NetworkConfig = { enabled: true, mode, ...parseBridge(bridge) };
  validateNetworkConfig(network);
  refuseBridgedSecrets(network, [policy]);
  return network;
}

function linkOf({ bridge = '', address, router }: NetworkConfig, { fd, mtu }: BridgedTap): BridgedLink {
  return {
    ...{ name: bridge, fd, mtu, nameServers: [] },
    ...(address !== undefined && { address }),
    ...(router !== undefined && { router }),
  };
}

/** The machine has files of its own. */
function refuseHostFolders({ vm, bind, roBind, fsIsolation }: MachineFlags): void {
  if ((bind ?? roBind) === undefined && fsIsolation) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    `--bind, --ro-bind and --no-fs-isolation are for a command of this machine, not for ${vm === true ? '--vm' : '--image'}: take --volume`,
  );
}

interface Places extends NamedImage, Pick<VMConfig, 'id' | 'stateDir' | 'homeDir' | 'hide' | 'bridge'> {
  readonly door: MachineDoor | null;
  readonly gateway: Gateway;
}

function configOf(flags: MachineFlags, { gateway, ...places }: Places): VMConfig {
  return {
    ...places,
    persist: false,
    privileged: false,
    resources: {
      ...sharesOf(flags),
      diskSizeMb: numberOf('--disk', flags.disk, DEFAULT_DISK_SIZE_MB),
      // A run takes as long as it takes.
      timeoutSeconds: 0,
    },
    vfs: { workspace: DEFAULT_WORKSPACE, directMounts: volumesOf(flags.volume ?? []) },
    extraDisks: [],
    env: new Map(),
    hostname: 'sallyport',
    addHosts: [],
    searchDomains: gateway.policy.dns.searchDomains,
    portForwards: (flags.publish ?? []).map(parsePublish),
  };
}

/** Folders of the host by their paths in the guest. */
function volumesOf(volumes: readonly string[]): NonNullable<VMConfig['vfs']['directMounts']> {
  const parsed = volumes.map(volume => parseVolumeMount(volume));
  return Object.fromEntries(
    parsed.map(({ guestPath, hostPath, readonly }) => [guestPath, { hostPath, readonly }]),
  );
}

function numberOf(flag: string, text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : wholeOf(flag, text);
}

/** A machine has some of each; processes are not limited unless that is asked for, but for their number. */
function sharesOf({ vm, cpus, memory, pids }: MachineFlags): Pick<Resources, 'cpus' | 'memoryMb' | 'pids'> {
  if (vm === true) {
    return {
      cpus: numberOf('--cpus', cpus, DEFAULT_CPUS),
      memoryMb: numberOf('--memory', memory, DEFAULT_MEMORY_MB),
    };
  }
  return {
    cpus: cpus === undefined ? 0 : fractionOf('--cpus', cpus),
    memoryMb: numberOf('--memory', memory, 0),
    ...(pids !== undefined && { pids: wholeOf('--pids', pids) }),
  };
}

/** What is not as one may think. */
function tellStart({ notes, limits }: Machine, flags: MachineFlags, io: Io): void {
  for (const note of notes) io.stderr(`sallyport: ${note}\n`);
  const warning = limitsOf(flags) === undefined ? null : limitsWarning(limits);
  if (warning !== null) io.stderr(warning);
}

function environmentOf({ env }: MachineFlags, kept: readonly string[]): Record<string, string> {
  const own = Object.entries(process.env).filter(([name]) => KEPT.test(name));
  const given = (env ?? []).map((text): [string, string | undefined] => {
    const at = text.indexOf('=');
    if (at >= 0) return [text.slice(0, at), text.slice(at + 1)];
    // Kept by name; what is the gateway's alone is not there to be kept.
    return [text, kept.includes(text) ? undefined : process.env[text]];
  });
  return Object.fromEntries(
    [...own, ...given].filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

interface Command {
  readonly id: string;
  readonly flags: MachineFlags;
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
}

async function runCommand(
  machine: Machine,
  gateway: Gateway,
  { id, flags, argv, env }: Command,
): Promise<ExecExit> {
  const whole = composeCommand(machine.imageConfig, argv);
  if (whole.length === 0)
    throw new GatewayError('CONFIG_INVALID', 'the image names no command: say one after --');
  const [program = '', ...args] = whole;
  const options: ExecOptions = {
    ...{ args, env, timeoutMs: 0 },
    ...(flags.workdir !== undefined && { workingDir: flags.workdir }),
  };
  const exec = { command: whole, exit_code: null, duration_ms: 0 };
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  // A command that is not there never started.
  const started = (): void => gateway.bus.emit({ type: 'exec.started', sandbox: id, exec });
  const ended = await (terminal ? onTerminal : onPipes)(machine, program, options, started);
  const done = { ...exec, exit_code: ended.exitCode, duration_ms: ended.durationMs };
  gateway.bus.emit({ type: 'exec.done', sandbox: id, exec: done });
  return ended;
}

async function onPipes(
  machine: Machine,
  program: string,
  options: ExecOptions,
  started: () => void,
): Promise<ExecExit> {
  const run = await machine.execStream(program, { ...options, stdin: 'pipe' });
  started();
  const release = forwardSignals(run);
  const outputs = [
    pipeline(run.stdout, process.stdout, { end: false }),
    pipeline(run.stderr, process.stderr, { end: false }),
  ];
  if (run.stdin !== null) process.stdin.on('error', () => {}).pipe(run.stdin);
  try {
    const exit = await run.exit;
    await Promise.allSettled(outputs);
    return exit;
  } finally {
    release();
    process.stdin.destroy();
  }
}

async function onTerminal(
  machine: Machine,
  program: string,
  options: ExecOptions,
  started: () => void,
): Promise<ExecExit> {
  const { rows, columns: cols } = process.stdout;
  const run = await machine.execInteractive(program, { ...options, rows, cols });
  started();
  const resize = (): void => run.resize(process.stdout.rows, process.stdout.columns);
  process.stdout.on('resize', resize);
  const release = forwardSignals(run);
  process.stdin.setRawMode(true);
  process.stdin.pipe(run.stdin);
  const shown = pipeline(run.stdout, process.stdout, { end: false });
  try {
    const exit = await run.exit;
    await Promise.allSettled([shown]);
    return exit;
  } finally {
    release();
    process.stdout.off('resize', resize);
    process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}

/** To the command's process group: it decides what an interrupt means, and we end when it has. */
function forwardSignals(run: Execution | InteractiveExecution): () => void {
  return onSignals(signal => run.kill(signal));
}

function onSignals(told: (signal: NodeJS.Signals) => void): () => void {
  const handlers = FORWARDED.map(signal => {
    const forward = (): void => told(signal);
    process.on(signal, forward);
    return { signal, forward };
  });
  return () => {
    for (const { signal, forward } of handlers) process.off(signal, forward);
  };
}
