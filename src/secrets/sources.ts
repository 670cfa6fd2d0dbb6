/**
 * Values from where they live: the gateway's environment, files, commands.
 *
 * Shell. A source that fails is a problem that names the secret and says how, never what; all are reported at once.
 */
import { execFile } from 'node:child_process';
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
  const options = {
    encoding: 'buffer',
    timeout: commandTimeoutMs,
    // A command that ignores SIGTERM would hold the start for ever.
    killSignal: 'SIGKILL',
    maxBuffer: MAX_VALUE_BYTES + 2,
    ...(signal && { signal }),
  } as const;
  return new Promise(resolve => {
    // Its output is never shown: on failure too, it may hold the value.
    execFile(program, args, options, (error, stdout) => {
      resolve(error === null ? valueOfOutput(stdout) : err(failureOf(error, commandTimeoutMs)));
    }).stdin?.end();
  });
}

function failureOf(
  error: Error & { killed?: boolean; code?: unknown; signal?: unknown },
  timeoutMs: number,
): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'its command printed more than 64 KiB';
  if (error.killed === true) return `its command gave no value within ${timeoutMs} ms`;
  if (typeof error.code === 'number') return `its command ended with exit code ${error.code}`;
  if (typeof error.signal === 'string') return `its command was ended by ${error.signal}`;
  return `its command could not be run (${errorCode(error)})`;
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
