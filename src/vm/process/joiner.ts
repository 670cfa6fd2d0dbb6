/** Commands that join a machine (shell: starts processes and one timer each). */
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Tools } from '../../net/vestibule/index.js';
import type {
  ExecExit,
  ExecOptions,
  Execution,
  InteractiveExecution,
  InteractiveOptions,
} from '../backend.js';
import type { CommandExit, RunningCommand, Stdio } from '../command.js';
import { ErrInvalidConfig } from '../errors.js';
import { untilExit } from '../lingering.js';
import { SECCOMP_FD, STATUS_FD, startChain } from './command.js';
import { joinedCommandOf } from './family.js';
import type { Person } from './identity.js';
import { ENTER_CAPABILITIES, innerArgs, joinArgs } from './join.js';
import { findCommand, seenAt } from './lookup.js';
import type { Premises } from './premises.js';
import { hasBegun, processes, signalProcess } from './signals.js';
import { signalName } from './status.js';
import { openTerminal, screenOf } from './terminal.js';

/** Of a user whom nobody knows, as Docker has it. */
const NO_HOME = '/';
const DEFAULT_ROWS = 24;
const DEFAULT_COLS = 80;

/** As the host numbers them. */
export interface Holder {
  readonly inside: number;
  /** The first process of the chain that leads to it. */
  readonly outermost: number;
  /** What goes before everything that is started in the machine. */
  readonly prefix: readonly string[];
}

export class Joiner {
  /** The holder, as the host numbers it. */
  readonly inside: number;
  readonly #tools: Tools;
  readonly #outermost: number;
  readonly #prefix: readonly string[];
  readonly #premises: Premises;
  readonly #timeoutMs: number;

  constructor(tools: Tools, { inside, outermost, prefix }: Holder, premises: Premises, timeoutMs: number) {
    this.inside = inside;
    this.#tools = tools;
    this.#outermost = outermost;
    this.#prefix = prefix;
    this.#premises = premises;
    this.#timeoutMs = timeoutMs;
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
    const { enclosure, ofImage } = this.#premises;
    const person = this.#premises.person(options.user, this.inside);
    const env = this.#environment(options, person, onTerminal);
    const workingDir = options.workingDir ?? this.#premises.workingDir;
    const argv = options.args === undefined ? ['sh', '-c', command] : [command, ...options.args];
    const sight = this.#premises.sight(this.inside);
    const view = { ...sight, workdir: workingDir, path: env.get('PATH'), ofImage };
    const program = findCommand(argv[0] ?? '', view);
    if (!enclosure.userNamespace && ofImage && person.uid !== 0)
      throw new ErrInvalidConfig('this host gives no user namespace, so commands are those of root alone');
    const { chain, args } = this.#way(person, env, ofImage ? '/' : workingDir, onTerminal);
    const rest = { spec: stdio, args, files: [], prefix: this.#prefix };
    if (!ofImage) {
      const control = onTerminal ? ['setsid', '-c', '--'] : [];
      return await startChain(this.#tools, [...chain, ...control, ...argv], rest);
    }
    if (seenAt(workingDir, sight) === null)
      throw new ErrInvalidConfig(`the working directory ${workingDir} does not exist in the sandbox`);
    const mode = onTerminal ? 't' : 'p';
    const enter = [this.#premises.enterFile ?? '', mode, workingDir, program, `PWD=${workingDir}`];
    const rootFd = openSync(`/proc/${this.inside}/root`, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return await startChain(this.#tools, [...chain, ...enter, ...argv], { ...rest, rootFd });
    } finally {
      closeSync(rootFd);
    }
  }

  /** The programs that lead in, and the arguments of the last of them. */
  #way(
    person: Person,
    env: ReadonlyMap<string, string>,
    workingDir: string,
    onTerminal: boolean,
  ): { readonly chain: readonly string[]; readonly args: readonly string[] } {
    const { enclosure, ofImage } = this.#premises;
    const { userNamespace, pid, stagePid } = enclosure;
    const join = joinArgs({
      userNamespaceOf: userNamespace ? (pid ?? this.#outermost) : null,
      networkOf: pid ?? this.inside,
      inside: this.inside,
      mountsOf: stagePid ?? this.inside,
    });
    const args = innerArgs({
      identity: userNamespace ? person : null,
      env,
      workingDir,
      ownSession: !onTerminal,
      capabilities: ofImage ? ENTER_CAPABILITIES : [],
      statusFd: STATUS_FD,
      seccompFd: SECCOMP_FD,
    });
    return { chain: [this.#tools.nsenter, ...join, this.#tools.bwrap, '--args', '3', '--'], args };
  }

  #environment(
    { env = {} }: ExecOptions,
    { home }: Person,
    onTerminal: boolean,
  ): ReadonlyMap<string, string> {
    return new Map([
      ['HOME', home ?? NO_HOME],
      ...(onTerminal ? [['TERM', 'xterm-256color'] as const] : []),
      ...this.#premises.env,
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
    const limit = timeoutMs ?? this.#timeoutMs;
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
    if (command !== null && hasBegun(command) && signalProcess(-command, signal)) return;
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
