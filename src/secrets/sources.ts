/**
 * Values from where they live: the gateway's environment, files, commands.
 *
 * Shell. A source that fails is a problem that names the secret and says how, never what; all are reported at once.
 */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { errorCode, GatewayError } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import { MAX_VALUE_BYTES } from './secret.js';
import { loadedSecret, problemsOf, type SecretProblem, type SecretSpec, type ValueSource } from './spec.js';
import type { LoadedSecret, SecretSet } from './store.js';

/** How long a command may take to print its value, in milliseconds. */
export const COMMAND_TIMEOUT_MS = 10_000;

export interface SourceOptions {
  readonly commandTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Fetches every value, all sources at the same time. `env` is the gateway's own environment; `literals` are the
 * values that came with flags, by secret. To rotate, load again and give the new set to the store.
 */
export async function loadSecrets(
  specs: readonly SecretSpec[],
  env: Environment,
  literals: ReadonlyMap<string, string>,
  options: SourceOptions = {},
): Promise<Result<SecretSet, readonly SecretProblem[]>> {
  const problems = specs.flatMap(problemsOf);
  if (problems.length > 0) return err(problems);
  const results = await Promise.all(specs.map(spec => loadOne(spec, env, literals, options)));
  const set = new Map<string, LoadedSecret>();
  for (const result of results) {
    if (result.ok) set.set(result.value.secret.name, result.value);
    else problems.push(result.error);
  }
  return problems.length > 0 ? err(problems) : ok(set);
}

/** What to throw where there is nobody to list problems to. */
export function secretsUnavailable(problems: readonly SecretProblem[]): GatewayError {
  return new GatewayError('SECRET_UNAVAILABLE', problems.map(({ message }) => message).join('; '));
}

async function loadOne(
  spec: SecretSpec,
  env: Environment,
  literals: ReadonlyMap<string, string>,
  options: SourceOptions,
): Promise<Result<LoadedSecret, SecretProblem>> {
  const value = await fetchValue(spec, env, literals, options);
  if (value.ok) return loadedSecret(spec, value.value);
  return err({ secret: spec.name, message: `secret ${spec.name}: ${value.error}` });
}

type Fetched = Result<string, string>;

function fetchValue(
  { name, valueFrom }: SecretSpec,
  env: Environment,
  literals: ReadonlyMap<string, string>,
  options: SourceOptions,
): Promise<Fetched> | Fetched {
  switch (valueFrom.kind) {
    case 'env': {
      const value = env[valueFrom.name];
      return value === undefined ? err(`the environment variable ${valueFrom.name} is not set`) : ok(value);
    }
    case 'literal': {
      const value = literals.get(name);
      return value === undefined ? err('no value was given') : ok(value);
    }
    case 'file':
      return readValue(valueFrom.path);
    case 'command':
      return runCommand(valueFrom, options);
  }
}

async function readValue(path: string): Promise<Fetched> {
  try {
    const file = await open(path, 'r');
    try {
      // One byte more than may be, so that a longer file is refused and not cut. A pipe is read to its end.
      const bytes = Buffer.alloc(MAX_VALUE_BYTES + 3);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return valueOfOutput(bytes.subarray(0, length));
    } finally {
      await file.close();
    }
  } catch (error) {
    return err(`the file ${path} cannot be read (${errorCode(error)})`);
  }
}

function runCommand(
  { command }: Extract<ValueSource, { kind: 'command' }>,
  { commandTimeoutMs = COMMAND_TIMEOUT_MS, signal }: SourceOptions,
): Promise<Fetched> {
  const [program = '', ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command;
  return new Promise(resolve => {
    // Its messages are never shown: they may hold the value. A group of its own, so that all of it can be ended.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
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
    const abort = (): void => settle(err('its command was given up'));
    const timer = setTimeout(() => {
      settle(err(`its command gave no value within ${commandTimeoutMs} ms`));
    }, commandTimeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_VALUE_BYTES + 2) settle(err('its command printed more than 64 KiB'));
    });
    child.once('error', error => settle(err(`its command could not be run (${errorCode(error)})`)));
    child.once('close', (code, ended) => {
      if (code === 0) settle(valueOfOutput(Buffer.concat(pieces)));
      else
        settle(
          err(
            code === null ? `its command was ended by ${ended}` : `its command ended with exit code ${code}`,
          ),
        );
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

/** Text in UTF-8. One line break at the end belongs to the tool that wrote it, not to the value. */
function valueOfOutput(bytes: Uint8Array): Fetched {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return ok(text.replace(/\r?\n$/, ''));
  } catch {
    // The decoder's message would say nothing more than this.
    return err('its value is not UTF-8');
  }
}
