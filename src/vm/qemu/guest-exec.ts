/** Commands in a guest, as every machine has them (shell: one timer each). */
import { constants } from 'node:os';
import { PassThrough, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../../core/errors.js';
import type {
  ExecExit,
  ExecOptions,
  Execution,
  InteractiveExecution,
  InteractiveOptions,
} from '../backend.js';
import { ErrInvalidConfig, ErrVMUnreachable } from '../errors.js';
import { untilExit } from '../lingering.js';
import type { Agent } from './agent/agent.js';
import { type Channel, ChannelRefused } from './agent/channel.js';

export interface ExecDefaults {
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir: string;
  /** Empty: root. */
  readonly user: string;
  readonly timeoutMs: number;
}

const DEFAULT_ROWS = 24;
const DEFAULT_COLS = 80;
/** After the kill: a guest that stands still does not tell the end of anything. */
const SETTLE_MS = 2_000;

export class GuestExec {
  readonly #agent: Agent;
  readonly #defaults: ExecDefaults;

  constructor(agent: Agent, defaults: ExecDefaults) {
    this.#agent = agent;
    this.#defaults = defaults;
  }

  async stream(command: string, options: ExecOptions): Promise<Execution> {
    const size = options.tty === true ? { rows: DEFAULT_ROWS, cols: DEFAULT_COLS } : { rows: 0, cols: 0 };
    const channel = this.#open(command, options, size);
    const run = await this.#follow(channel, command, options);
    const stdin = feedOf(options.stdin, channel.stdin);
    return {
      ...run,
      stdin,
      stdout: untilExit(channel.stdout, run.exit),
      stderr: size.rows > 0 ? new PassThrough().end() : untilExit(channel.stderr, run.exit),
    };
  }

  async interactive(command: string, options: InteractiveOptions): Promise<InteractiveExecution> {
    const { rows = DEFAULT_ROWS, cols = DEFAULT_COLS } = options;
    const channel = this.#open(command, options, { rows, cols });
    channel.stderr.resume();
    const run = await this.#follow(channel, command, options);
    const stdout = untilExit(channel.stdout, run.exit);
    return { ...run, stdin: channel.stdin, stdout, resize: (r, c) => channel.resize(r, c) };
  }

  #open(
    command: string,
    options: ExecOptions,
    { rows, cols }: { readonly rows: number; readonly cols: number },
  ): Channel {
    options.signal?.throwIfAborted();
    const argv = options.args === undefined ? ['sh', '-c', command] : [command, ...options.args];
    const env = new Map([
      ...(rows > 0 ? [['TERM', 'xterm-256color'] as const] : []),
      ...this.#defaults.env,
      ...Object.entries(options.env ?? {}),
    ]);
    const fields = [
      ...[String(rows), String(cols), options.user ?? this.#defaults.user],
      options.workingDir ?? this.#defaults.workingDir,
      ...[String(argv.length), ...argv],
      ...[...env].map(([name, value]) => `${name}=${value}`),
    ];
    if (fields.some(field => field.includes('\0')))
      throw new ErrInvalidConfig('an argument or a variable holds a NUL');
    return this.#agent.open('exec', fields);
  }

  async #follow(
    channel: Channel,
    command: string,
    options: ExecOptions,
  ): Promise<Pick<Execution, 'pid' | 'exit' | 'kill'>> {
    const started = performance.now();
    const state = { timedOut: false, given: null as NodeJS.Timeout | null };
    const kill = (signal: NodeJS.Signals = 'SIGTERM'): void => channel.signal(constants.signals[signal]);
    const giveUp = (): void => {
      kill('SIGKILL');
      state.given = setTimeout(() => channel.close(), SETTLE_MS);
    };
    const limit = options.timeoutMs ?? this.#defaults.timeoutMs;
    const expire = (): void => {
      state.timedOut = true;
      giveUp();
    };
    const timer = limit > 0 ? setTimeout(expire, limit) : undefined;
    options.signal?.addEventListener('abort', giveUp, { once: true });
    const exit = channel.exit
      .then(({ code, signal }) => (signal === 0 ? { exitCode: code, signal: null } : killedBy(signal)))
      // The machine ended under it.
      .catch(() => killedBy(constants.signals.SIGKILL))
      .then((how): ExecExit => {
        clearTimeout(timer);
        clearTimeout(state.given ?? undefined);
        options.signal?.removeEventListener('abort', giveUp);
        return { ...how, timedOut: state.timedOut, durationMs: Math.round(performance.now() - started) };
      });
    try {
      const pid = await channel.started;
      return { pid, exit, kill };
    } catch (error) {
      // A time that was over before the guest had answered is told as such by the exit.
      if (state.timedOut) return { pid: null, exit, kill };
      options.signal?.throwIfAborted();
      throw refusalOf(error, command, options);
    }
  }
}

function killedBy(number: number): Pick<ExecExit, 'exitCode' | 'signal'> {
  const [name] = Object.entries(constants.signals).find(([, value]) => value === number) ?? [];
  return { exitCode: 128 + number, signal: (name ?? null) as NodeJS.Signals | null };
}

const ENOENT = constants.errno.ENOENT;
const EAGAIN = constants.errno.EAGAIN;

function refusalOf(error: unknown, command: string, options: ExecOptions): Error {
  if (!(error instanceof ChannelRefused))
    return new ErrVMUnreachable(`the machine does not answer: ${String((error as Error).message)}`, {
      cause: error,
    });
  const { errno, stage } = error;
  const name = options.args === undefined ? 'sh' : command;
  if (stage === 'command' && errno === ENOENT)
    return new GatewayError('COMMAND_NOT_FOUND', `${name}: no such command in the sandbox`);
  if (stage === 'command')
    return new GatewayError(
      'COMMAND_NOT_EXECUTABLE',
      `${name}: cannot be run in the sandbox (errno ${errno})`,
    );
  if (stage === 'folder')
    return new ErrInvalidConfig(
      `the working directory ${options.workingDir ?? ''} cannot be entered in the sandbox`,
    );
  if (errno === EAGAIN)
    return new GatewayError('LIMIT_EXCEEDED', 'the sandbox has no room for another process');
  return new ErrInvalidConfig(`the sandbox does not know the ${stage}`);
}

/** Writes what was given; hands the stream over only to a caller that will write. */
function feedOf(given: ExecOptions['stdin'], stdin: Writable): Writable | null {
  if (given === 'pipe') return stdin;
  if (given === undefined) stdin.end();
  else if (typeof given === 'string' || given instanceof Uint8Array) stdin.end(given);
  else pipeline(given, stdin).catch(() => stdin.destroy());
  return null;
}
