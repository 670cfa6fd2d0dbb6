/**
 * A value that a program prints. A shell: child processes, in a group of their own so that all of it can be ended.
 *
 * What the program says besides is never shown: it may hold the value.
 */
import { spawn } from 'node:child_process';
import { errorCode } from '../../core/errors.js';
import { MAX_VALUE_BYTES } from '../secret.js';
import { failed } from './answer.js';
import { valueOfOutput } from './output.js';
import type { Fetched } from './source.js';

/** How long a command may take to print its value, in milliseconds. */
export const COMMAND_TIMEOUT_MS = 10_000;

export interface CommandOptions {
  /** The gateway's own environment, which the program gets whole. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export function runCommand(
  command: string | readonly string[],
  { env, timeoutMs = COMMAND_TIMEOUT_MS, signal }: CommandOptions,
): Promise<Fetched> {
  const [program = '', ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command;
  return new Promise(resolve => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    const pieces: Buffer[] = [];
    let length = 0;
    const settle = (result: Fetched): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      child.stdout.destroy();
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        endGroup(child.pid);
      resolve(result);
    };
    const abort = (): void => settle(failed('its command was given up'));
    const timer = setTimeout(() => {
      settle(failed(`its command gave no value within ${timeoutMs} ms`));
    }, timeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_VALUE_BYTES + 2) settle(failed('its command printed more than 64 KiB'));
    });
    child.once('error', error => settle(failed(`its command could not be run (${errorCode(error)})`)));
    child.once('close', (code, ended) => {
      if (code === 0) settle(valueOfOutput(Buffer.concat(pieces)));
      else if (code === null) settle(failed(`its command was ended by ${ended}`));
      else settle(failed(`its command ended with exit code ${code}`));
    });
  });
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended in the meantime: that is what was wanted.
  }
}
