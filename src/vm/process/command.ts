/**
 * Starts a command in a cell, under bubblewrap, and follows it (shell: starts processes).
 *
 * The chain is `setpriv` (dies with the gateway) → `nsenter` (into the cell) → `unshare` (waits, deaf to Ctrl-C) →
 * `bwrap` → the command. bubblewrap is process 1 of a PID namespace of its own, so that a Ctrl-C on a shared terminal
 * reaches the command and ends none of those around it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type Cell, keepDescriptors, type Tools } from '../../net/vestibule/index.js';
import type { CommandExit, CommandSpec, DataFile, RunningCommand, Stdio } from '../command.js';
import { bwrapArgs, coverable, emitArgs } from './bwrap.js';
import { type Confinement, confine, groupName } from './cgroup.js';
import { emitNsswitch, emitResolvConf, HOSTS } from './etc.js';
import { commandOf } from './family.js';
import { hostFiles, readHostText } from './host.js';
import { type Enclosure, intoArgs } from './join.js';
import { findCommand } from './lookup.js';
import { type Mount, planMounts } from './mounts.js';
import { emitFilter } from './seccomp.js';
import { hasBegun, processes, signalProcess } from './signals.js';
import { parseUnixSockets } from './sockets.js';
import { exitOf, type Outcome } from './status.js';

/** Numbers of the pipes to bubblewrap, after the three standard ones. */
const ARGS_FD = 3;
export const STATUS_FD = 4;
export const SECCOMP_FD = 5;
const FIRST_FILE_FD = 6;

/**
 * Starts `spec`. Throws `COMMAND_NOT_FOUND`, `COMMAND_NOT_EXECUTABLE` or `CONFIG_INVALID` before anything runs. May
 * be called many times for one cell, also at the same time.
 */
export async function startCommand(cell: Cell, spec: CommandSpec): Promise<RunningCommand> {
  const plan = planMounts(spec, homedir(), hostFiles);
  findCommand(spec.argv[0], { plan, host: hostFiles, workdir: spec.workdir, path: spec.env.get('PATH') });
  const whole = { ...spec, files: [...etcFiles(spec.searchDomains ?? []), ...spec.files] };
  if (spec.limits === undefined) return await startPlanned(cell, whole, plan);
  const confinement = await confine(groupName(), spec.limits, cell.tools);
  try {
    const running = await startPlanned(cell, whole, plan, confinement);
    const exit = running.exit.finally(() => confinement.close());
    return { ...running, exit, limits: confinement.text };
  } catch (error) {
    await confinement.close();
    throw error;
  }
}

/** Starts `spec` with the mounts of `plan`; its files stand for all that the sandbox is to see in place of the host's. */
export async function startPlanned(
  cell: Enclosure,
  spec: CommandSpec,
  plan: readonly Mount[],
  confinement: Pick<Confinement, 'groups' | 'rlimits'> = UNCONFINED,
): Promise<RunningCommand> {
  const covered = coverable(spec.files, plan, hostFiles);
  const args = bwrapArgs({
    spec,
    plan,
    host: hostFiles,
    identity: cell.userNamespace ? ownIdentity() : null,
    ownNetwork: cell.pid === null,
    sockets: parseUnixSockets(readHostText('/proc/net/unix') ?? ''),
    statusFd: STATUS_FD,
    seccompFd: SECCOMP_FD,
    firstFileFd: FIRST_FILE_FD,
    covered,
  });
  const chain = [
    ...enclosed(cell, confinement.rlimits),
    ...[cell.tools.bwrap, '--args', `${ARGS_FD}`, '--', ...spec.argv],
  ];
  return await startChain(cell.tools, chain, {
    spec,
    args,
    files: covered.map(({ content }) => content),
    prefix: confinement.groups,
  });
}

const UNCONFINED: Pick<Confinement, 'groups' | 'rlimits'> = { groups: [], rlimits: [] };

/** What leads into the cell, and waits there. */
function enclosed(enclosure: Enclosure, rlimits: readonly string[]): readonly string[] {
  const { tools, pid, userNamespace, stagePid } = enclosure;
  const isOwn = userNamespace && pid === null && stagePid === undefined;
  const own = isOwn ? [tools.unshare, '--user', '--map-root-user', '--'] : [];
  const wait = [tools.unshare, '--pid', '--fork', '--kill-child', '--'];
  return [...intoArgs(tools, enclosure), ...own, ...rlimits, ...wait];
}

export interface ChainInput {
  /** A number is a descriptor of ours. */
  readonly spec: Readonly<Record<'stdin' | 'stdout' | 'stderr', Stdio | number>>;
  /** Of bubblewrap, which takes them from descriptor 3. */
  readonly args: readonly string[];
  /** Contents for the descriptors from 6 on. */
  readonly files: readonly Uint8Array[];
  /** An open folder for descriptor 6, where there are no files. Stays the caller's. */
  readonly rootFd?: number;
  /** What goes before all of it: see `Confinement`. */
  readonly prefix: readonly string[];
}

/** Starts programs that lead to bubblewrap, and feeds it. */
export async function startChain(
  tools: Tools,
  chain: readonly string[],
  { spec, args, files, rootFd, prefix }: ChainInput,
): Promise<RunningCommand> {
  // All that can fail comes before the start: a chain that is not fed would wait for ever.
  const fed = new Map<number, string | Uint8Array>([
    [ARGS_FD, emitArgs(args)],
    [SECCOMP_FD, filterOfThisMachine()],
    ...files.map((content, index) => [FIRST_FILE_FD + index, content] as const),
  ]);
  await keepDescriptors();
  const child = spawnChain(
    tools,
    [...prefix, ...chain],
    spec,
    rootFd === undefined ? files.map(() => 'pipe') : [rootFd],
  );
  for (const [fd, content] of fed) feed(child, fd, content);
  return follow(child);
}

function spawnChain(
  tools: Tools,
  chain: readonly string[],
  spec: ChainInput['spec'],
  more: readonly ('pipe' | number)[],
): ChildProcess {
  const pipes = Array.from({ length: FIRST_FILE_FD - ARGS_FD }, () => 'pipe' as const);
  return spawn(tools.setpriv, ['--pdeathsig', 'KILL', '--', ...chain], {
    cwd: '/',
    // The command's variables are set by bubblewrap: here a LD_PRELOAD among them would act outside the sandbox.
    env: {},
    stdio: [spec.stdin, spec.stdout, spec.stderr, ...pipes, ...more],
  });
}

function feed(child: ChildProcess, fd: number, content: string | Uint8Array): void {
  const pipe = (child.stdio as readonly unknown[])[fd] as Writable;
  // A reader that ended early has failed, and its exit says so.
  pipe.on('error', () => {});
  pipe.end(content);
}

async function follow(child: ChildProcess): Promise<RunningCommand> {
  const status = textOf((child.stdio as readonly unknown[])[STATUS_FD] as Readable);
  const ended = new Promise<Omit<Outcome, 'status'>>(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', () => resolve());
    child.once('error', cause => {
      reject(new GatewayError('WARDEN_FAILED', `the sandbox cannot start: ${cause.message}`, { cause }));
    });
  });
  const exit: Promise<CommandExit> = Promise.all([ended, status]).then(([outcome, text]) =>
    exitOf({ ...outcome, status: text }),
  );
  const { stdin, stdout, stderr } = child;
  return { pid: child.pid ?? 0, exit, stdin, stdout, stderr, kill: signal => void sendSignal(child, signal) };
}

/** How long to wait before looking again for a command that is still being started. */
const LOOK_AGAIN_MS = 5;

async function sendSignal(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (signal === 'SIGKILL') return void child.kill('SIGKILL');
  while (child.exitCode === null && child.signalCode === null) {
    const command = commandOf(child.pid ?? 0, processes());
    if (command !== null && hasBegun(command)) return void signalProcess(command, signal);
    await new Promise(resolve => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function etcFiles(searchDomains: readonly string[]): readonly DataFile[] {
  const files = [
    ['/etc/resolv.conf', emitResolvConf(searchDomains)],
    ['/etc/hosts', HOSTS],
    ['/etc/nsswitch.conf', emitNsswitch(readHostText('/etc/nsswitch.conf') ?? '')],
  ] as const;
  return files.map(([path, text]) => ({ path, content: Buffer.from(text) }));
}

export function ownIdentity(): { readonly uid: number; readonly gid: number } {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

function filterOfThisMachine(): Uint8Array {
  if (process.arch === 'x64' || process.arch === 'arm64') return emitFilter(process.arch);
  throw new GatewayError('WARDEN_FAILED', `there is no system call filter for ${process.arch}`);
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
