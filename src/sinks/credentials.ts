/** The sinks' own credentials, from a variable or a file. A shell: files. */
import { readFile, stat } from 'node:fs/promises';
import { errorCode } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import type { CredentialInput } from './schema.js';

export type Variables = Readonly<Record<string, string | undefined>>;

const MAX_BYTES = 64 * 1024;

/** The value, one line, or why there is none; the reason never holds it. */
export async function readCredential(
  { env, file = '' }: CredentialInput,
  variables: Variables,
): Promise<Result<string, string>> {
  if (env !== undefined) return usable(variables[env] ?? '', `the variable ${env}`);
  const text = await readPrivate(file);
  return text.ok ? usable(text.value.replace(/\r?\n$/, ''), `the file ${file}`) : text;
}

/** A file that only we can read, whole. */
export async function readPrivate(path: string): Promise<Result<string, string>> {
  try {
    const { mode, size } = await stat(path);
    if (size > MAX_BYTES) return err(`the file ${path} is too large for a credential`);
    if ((mode & 0o077) !== 0) return err(`the file ${path} can be read by others: chmod 600 it`);
    return ok(await readFile(path, 'utf8'));
  } catch (error) {
    return err(`the file ${path} cannot be read (${errorCode(error)})`);
  }
}

/** It will stand in a header or a handshake. */
function usable(value: string, where: string): Result<string, string> {
  if (value === '') return err(`${where} holds nothing`);
  return /^[\x20-\x7e]+$/.test(value) ? ok(value) : err(`${where} is not one line of printable ASCII`);
}
