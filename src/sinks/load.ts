/**
 * The file of `--events`. A shell: files. One that others may write says where the evidence goes: it is refused.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errorCode } from '../core/errors.js';
import { configInvalid, MAX_POLICY_BYTES, type Problem } from '../policy/problem.js';
import { parseSinks, type SinksDocument } from './document.js';

/** Throws `CONFIG_INVALID`, whose message lists every problem with its line. */
export async function loadSinks(path: string): Promise<SinksDocument> {
  const text = await read(path);
  const parsed = parseSinks(text);
  if (!parsed.ok) throw configInvalid(path, parsed.error);
  return parsed.value;
}

const WRITABLE_BY_OTHERS = 0o022;

async function read(path: string): Promise<string> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a named pipe would wait for its writer.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    const fault = faultOf(stats.isFile(), stats.mode, stats.size);
    if (fault !== null) throw configInvalid(path, [fault]);
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile());
  } catch (error) {
    if (errorCode(error) === 'CONFIG_INVALID') throw error;
    throw configInvalid(path, [{ path: '', message: unreadable(errorCode(error)) }]);
  } finally {
    await file?.close();
  }
}

function faultOf(isFile: boolean, mode: number, size: number): Problem | null {
  if (!isFile) return { path: '', message: 'is not a regular file' };
  if ((mode & WRITABLE_BY_OTHERS) !== 0) {
    return { path: '', message: 'can be written by others: chmod go-w it' };
  }
  return size > MAX_POLICY_BYTES ? { path: '', message: `is larger than ${MAX_POLICY_BYTES} bytes` } : null;
}

function unreadable(code: string): string {
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8';
  return `cannot be read (${code})`;
}
