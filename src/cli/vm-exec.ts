/** `sallyport vm exec`: a command in a sandbox that runs, on this terminal (shell: signals, standard streams). */
import { pipeline } from 'node:stream/promises';
import { errorCode } from '../core/errors.js';
import type { Sandbox } from '../runtime/sandbox.js';
import { ErrInvalidConfig, type ExecExit, type ExecOptions } from '../vm/index.js';
import { EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN_FAILURE, EXIT_STOPPED, type Io } from './io.js';
import { named, withRuntime } from './vm.js';

export interface ExecFlags {
  readonly interactive: boolean;
  readonly tty: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly timeout?: string;
}

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];

export async function runExec(
  name: string,
  [command, ...args]: readonly [string, ...string[]],
  flags: ExecFlags,
  io: Io,
): Promise<number> {
  let outcome = EXIT_OWN_FAILURE;
  const failed = await withRuntime(io, async runtime => {
    const sandbox = await named(runtime, name);
    try {
      const options = { ...optionsOf(flags), args };
      const exit = flags.tty
        ? await onTerminal(sandbox, command, options, flags)
        : await onPipes(sandbox, command, options, flags);
      outcome = exit.timedOut ? EXIT_STOPPED : exit.exitCode;
      return 0;
    } catch (error) {
      if (errorCode(error) === 'COMMAND_NOT_FOUND') outcome = EXIT_NOT_FOUND;
      if (errorCode(error) === 'COMMAND_NOT_EXECUTABLE') outcome = EXIT_NOT_EXECUTABLE;
      throw error;
    }
  });
  return failed === 0 || outcome !== EXIT_OWN_FAILURE ? outcome : EXIT_OWN_FAILURE;
}

function optionsOf({ env = [], user, workdir, timeout }: ExecFlags): ExecOptions {
  const seconds = Number(timeout ?? 0);
  if (!(seconds >= 0)) throw new ErrInvalidConfig('--timeout: seconds, or 0 for none');
  const variables = env.map(text => {
    const at = text.indexOf('=');
    if (at <= 0) throw new ErrInvalidConfig('--env: a variable is NAME=VALUE');
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  return {
    env: Object.fromEntries(variables),
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { workingDir: workdir }),
    ...(timeout !== undefined && { timeoutMs: seconds * 1000 }),
  };
}

async function onPipes(
  sandbox: Sandbox,
  command: string,
  options: ExecOptions,
  flags: ExecFlags,
): Promise<ExecExit> {
  const run = await sandbox.execStream(command, { ...options, ...(flags.interactive && { stdin: 'pipe' }) });
  const stop = forwardSignals(signal => run.kill(signal));
  if (run.stdin !== null) pipeline(process.stdin, run.stdin).catch(() => {}); // It reads no more: its exit tells.
  try {
    const shown = [drain(run.stdout, process.stdout), drain(run.stderr, process.stderr)];
    const exit = await run.exit;
    await Promise.all(shown);
    return exit;
  } finally {
    stop();
    process.stdin.destroy();
  }
}

async function onTerminal(
  sandbox: Sandbox,
  command: string,
  options: ExecOptions,
  flags: ExecFlags,
): Promise<ExecExit> {
  const { rows = 24, columns = 80 } = process.stdout;
  const env = { TERM: process.env.TERM ?? 'xterm-256color', ...options.env };
  const run = await sandbox.execInteractive(command, { ...options, env, rows, cols: columns });
  const resize = (): void => run.resize(process.stdout.rows, process.stdout.columns);
  const stop = forwardSignals(signal => run.kill(signal));
  if (process.stdout.isTTY) process.stdout.on('resize', resize);
  if (flags.interactive) {
    if (process.stdin.isTTY) process.stdin.setRawMode(true);
    pipeline(process.stdin, run.stdin).catch(() => {}); // The same as above.
  }
  try {
    const shown = drain(run.stdout, process.stdout);
    const exit = await run.exit;
    await shown;
    return exit;
  } finally {
    stop();
    process.stdout.off('resize', resize);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}

/** Not `pipeline`: standard output stays open. */
async function drain(from: AsyncIterable<unknown>, to: NodeJS.WriteStream): Promise<void> {
  for await (const chunk of from) {
    if (!to.write(chunk as Buffer)) await new Promise<void>(resolve => to.once('drain', resolve));
  }
}

function forwardSignals(kill: (signal: NodeJS.Signals) => void): () => void {
  const handlers = FORWARDED.map(signal => {
    const forward = (): void => kill(signal);
    process.on(signal, forward);
    return { signal, forward };
  });
  return () => {
    for (const { signal, forward } of handlers) process.off(signal, forward);
  };
}
