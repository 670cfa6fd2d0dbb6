/** Commands that join a machine (shell: starts processes and one timer each). */
import { once } from 'node:events';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Tools } from '../../net/vestibule/index.js';
import type {
  ExecExit,
  ExecOptions,
  Execution,
  InteractiveExecution,
  InteractiveOptions,
  VMConfig,
} from '../backend.js';
import type { CommandExit, RunningCommand, Stdio } from '../command.js';
import { ErrVMStartFailed } from '../errors.js';
import { untilExit } from '../lingering.js';
import { type Enclosure, ownIdentity, SECCOMP_FD, STATUS_FD, startChain } from './command.js';
import { commandOf, joinedCommandOf } from './family.js';
import { hostFiles } from './host.js';
import { identityOf } from './identity.js';
import { innerArgs, joinArgs } from './join.js';
import type { Layout } from './layout.js';
import { findCommand } from './lookup.js';
import { processes, signalProcess } from './signals.js';
import { signalName } from './status.js';
import { openTerminal, screenOf } from './terminal.js';

export interface JoinerInput {
  readonly layout: Layout;
  readonly config: VMConfig;
  readonly workspace: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const HOME = '/root';
const DEFAULT_ROWS = 24;
const DEFAULT_COLS = 80;

export class Joiner {
  /** The holder, as the host numbers it. */
  readonly inside: number;
  readonly #tools: Tools;
  readonly #enclosure: Enclosure;
  readonly #outermost: number;
  readonly #input: JoinerInput;

  /** `outermost` is the first process of the holder's chain. */
  constructor(tools: Tools, enclosure: Enclosure, outermost: number, input: JoinerInput) {
    const inside = commandOf(outermost, processes());
    if (inside === null) throw new ErrVMStartFailed('the machine ended while it came up');
    this.inside = inside;
    this.#tools = tools;
    this.#enclosure = enclosure;
    this.#outermost = outermost;
    this.#input = input;
  }

  async stream(command: string, options: ExecOptions): Promise<Execution> {
    if (options.tty === true) {
      const { stdin, ...rest } = await this.interactive(command, options);
      const given = feedOf(options.stdin, stdin, rest);
      return { ...rest, stdin: given, stderr: new PassThrough().end() };
    }
    const stdin: Stdio = options.stdin === undefined ? 'ignore' : 'pipe';
    const running = await this.#start(command, options, { stdin, stdout: 'pipe', stderr: 'pipe' });
    const { pid, kill, exit } = this.#follow(running, options);
    const { stdout, stderr } = running as { readonly stdout: Readable; readonly stderr: Readable };
    const output = { stdout: untilExit(stdout, exit), stderr: untilExit(stderr, exit) };
    return { pid, stdin: feedOf(options.stdin, running.stdin, { kill, exit }), ...output, exit, kill };
  }

  async interactive(command: string, options: InteractiveOptions): Promise<InteractiveExecution> {
    const { rows = DEFAULT_ROWS, cols = DEFAULT_COLS } = options;
    const terminal = await openTerminal(`/proc/${this.inside}/root/dev/pts`, rows, cols);
    try {
      const { slaveFd: fd } = terminal;
      const running = await this.#start(command, options, { stdin: fd, stdout: fd, stderr: fd });
      return { ...this.#follow(running, options), ...screenOf(terminal), resize: terminal.resize };
    } catch (error) {
      terminal.master.destroy();
      throw error;
    } finally {
      terminal.release();
    }
  }

  async #start(
    command: string,
    options: ExecOptions,
    stdio: Readonly<Record<'stdin' | 'stdout' | 'stderr', Stdio | number>>,
  ): Promise<RunningCommand> {
    options.signal?.throwIfAborted();
    const onTerminal = typeof stdio.stdin === 'number';
    const env = this.#environment(options, onTerminal);
    const workingDir = options.workingDir ?? this.#input.config.workingDir ?? this.#input.workspace;
    const argv = options.args === undefined ? ['sh', '-c', command] : [command, ...options.args];
    findCommand(argv[0] ?? '', {
      plan: this.#input.layout.plan,
      host: hostFiles,
      workdir: workingDir,
      path: env.get('PATH'),
    });
    const { userNamespace, pid } = this.#enclosure;
    const join = joinArgs({
      userNamespaceOf: userNamespace ? (pid ?? this.#outermost) : null,
      networkOf: pid ?? this.inside,
      inside: this.inside,
    });
    const user = options.user ?? this.#input.config.imageConfig?.user;
    const args = innerArgs({
      identity: userNamespace ? identityOf(user, ownIdentity()) : null,
      env,
      workingDir,
      ownSession: !onTerminal,
      statusFd: STATUS_FD,
      seccompFd: SECCOMP_FD,
    });
    const control = onTerminal ? ['setsid', '-c', '--'] : [];
    const chain = [this.#tools.nsenter, ...join, this.#tools.bwrap, '--args', '3', '--', ...control, ...argv];
    return await startChain(this.#tools, chain, { spec: stdio, args, files: [] });
  }

  #environment({ env = {} }: ExecOptions, onTerminal: boolean): ReadonlyMap<string, string> {
    const { config } = this.#input;
    return new Map([
      ['PATH', PATH],
      ['HOME', HOME],
      ...(onTerminal ? [['TERM', 'xterm-256color'] as const] : []),
      ...Object.entries(config.imageConfig?.env ?? {}),
      ...config.env,
      ...(config.door?.trustEnv ?? []),
      ...(config.door?.secretEnv ?? []),
      ...Object.entries(env),
    ]);
  }

  #follow(
    running: RunningCommand,
    { timeoutMs, signal }: ExecOptions,
  ): Pick<Execution, 'pid' | 'exit' | 'kill'> {
    const started = performance.now();
    const state = { ended: false, timedOut: false };
    const kill = (name: NodeJS.Signals = 'SIGTERM'): void =>
      void signalGroup(running.pid, name, () => state.ended);
    const abort = (): void => kill('SIGKILL');
    const limit = timeoutMs ?? this.#input.config.resources.timeoutSeconds * 1000;
    const expire = (): void => {
      state.timedOut = true;
      abort();
    };
    const timer = limit > 0 ? setTimeout(expire, limit) : undefined;
    signal?.addEventListener('abort', abort, { once: true });
    const exit = running.exit.then(({ code, signal: own }): ExecExit => {
      state.ended = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      const durationMs = Math.round(performance.now() - started);
      return { ...exact({ code, signal: own }), timedOut: state.timedOut, durationMs };
    });
    return { pid: running.pid, exit, kill };
  }
}

/**
 * bubblewrap tells the end by a signal as a shell does, by 128 + n. A command that ends with such a number of its own
 * is nearly always a shell that passes one on.
 */
function exact({ code, signal }: CommandExit): Pick<ExecExit, 'exitCode' | 'signal'> {
  return { exitCode: code, signal: signal ?? signalName(code - 128) };
}

const LOOK_AGAIN_MS = 5;

/** The command is the first of a session and group of its own; before it is, it is looked for again. */
async function signalGroup(chain: number, signal: NodeJS.Signals, ended: () => boolean): Promise<void> {
  while (!ended()) {
    const command = joinedCommandOf(chain, processes());
    if (command !== null && signalProcess(-command, signal)) return;
    await delay(LOOK_AGAIN_MS);
  }
}

/** For a command to end in order, when its input fails. */
const STOP_MS = 2_000;

/** Writes what was given; hands the stream over only to a caller that will write. */
function feedOf(
  given: ExecOptions['stdin'],
  stdin: Writable | null,
  { kill, exit }: Pick<Execution, 'kill' | 'exit'>,
): Writable | null {
  const stop = async (): Promise<void> => {
    kill('SIGTERM');
    const timer = setTimeout(() => kill('SIGKILL'), STOP_MS);
    await exit;
    clearTimeout(timer);
  };

  if (stdin === null || given === undefined) return null;
  // A command that reads no more has seen enough: its exit says whether that is a failure.
  stdin.on('error', () => {});
  if (given === 'pipe') return stdin;
  if (typeof given === 'string' || given instanceof Uint8Array) stdin.end(given);
  else void feed(given, stdin, stop);
  return null;
}

/** A source that fails must not look like one that ended: the command is stopped before its input is. */
async function feed(given: Readable, stdin: Writable, stop: () => Promise<void>): Promise<void> {
  try {
    for await (const chunk of given) {
      if (stdin.destroyed) return;
      if (!stdin.write(chunk)) await Promise.race([once(stdin, 'drain'), once(stdin, 'close')]);
    }
    stdin.end();
  } catch {
    // Whoever gave the stream knows of its failure; the command's exit tells the rest.
    await stop();
    stdin.destroy();
  }
}
