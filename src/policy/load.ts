/**
 * A policy from a file, or one of the built-in profiles by its name: the only shell of this folder.
 *
 * A file that others may write decides nothing: it is refused, as is anything that is not a regular file.
 */

import { constants, existsSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode } from '../core/errors.js';
import { err, type Result } from '../core/result.js';
import type { PolicyDocument } from './policy.js';
import { configInvalid, MAX_POLICY_BYTES, type Problem } from './problem.js';

/** The profiles that come with the package, in `policies/`. */
export const PROFILES = ['strict', 'balanced', 'open'] as const;
export type Profile = (typeof PROFILES)[number];

export function isProfile(name: string): name is Profile {
  return PROFILES.some(profile => profile === name);
}

/** Loads a profile or a file. Throws `CONFIG_INVALID`, whose message lists every problem with its line. */
export async function loadPolicy(nameOrFile: string): Promise<PolicyDocument> {
  const loaded = await readPolicy(nameOrFile);
  if (!loaded.ok) throw configInvalid(nameOrFile, loaded.error);
  return loaded.value;
}

/** The same, with the problems as data. `./strict` is the file of that name. */
export async function readPolicy(nameOrFile: string): Promise<Result<PolicyDocument, readonly Problem[]>> {
  const path = isProfile(nameOrFile) ? profilePath(nameOrFile) : nameOrFile;
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a named pipe would wait for its writer.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat();
    const problem = fileProblem(stat.isFile(), stat.mode, stat.size);
    if (problem !== null) return err([{ path: '', message: problem }]);
    const bytes = await file.readFile();
    if (bytes.length > MAX_POLICY_BYTES) return err([{ path: '', message: TOO_LARGE }]);
    // Loaded when there is something to read: the schema and YAML libraries cost a tenth of a second.
    const { parsePolicy } = await import('./document.js');
    return parsePolicy(new TextDecoder('utf-8', { fatal: true }).decode(bytes), nameOrFile);
  } catch (error) {
    return err([{ path: '', message: unreadable(errorCode(error)) }]);
  } finally {
    await file?.close();
  }
}

const TOO_LARGE = `is larger than ${MAX_POLICY_BYTES} bytes`;
const WRITABLE_BY_OTHERS = 0o002;

function fileProblem(isFile: boolean, mode: number, size: number): string | null {
  if (!isFile) return 'is not a regular file';
  if ((mode & WRITABLE_BY_OTHERS) !== 0) return 'can be written by everybody: chmod o-w it';
  return size > MAX_POLICY_BYTES ? TOO_LARGE : null;
}

function unreadable(code: string): string {
  if (code === 'ENOENT') return `does not exist; the built-in profiles are ${PROFILES.join(', ')}`;
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8';
  return `cannot be read (${code})`;
}

function profilePath(profile: Profile): string {
  return join(packageRoot(), 'policies', `${profile}.yaml`);
}

/** The nearest folder above this file that holds a `package.json`: in a checkout, in `dist/` and in an install. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
