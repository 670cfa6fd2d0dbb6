/**
 * One writer for one spool (shell: flock(2), through koffi).
 *
 * The kernel holds the lock and lets it go when the process ends, however it ends: a lock file that a killed gateway
 * left behind locks nothing. Containers that share the folder and the kernel share the lock.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';

const EXCLUSIVE_NOW = 2 | 4; // LOCK_EX | LOCK_NB, the same on Linux and macOS.

/** Locks the spool in `dir` until the handle is closed. Throws `SPOOL_LOCKED` when another process has it. */
export async function lockSpool(dir: string): Promise<FileHandle> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const handle = await open(join(dir, 'lock'), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  const { default: koffi } = await import('koffi');
  const flock = koffi.load(null).func('int flock(int fd, int operation)');
  if (flock(handle.fd, EXCLUSIVE_NOW) === 0) return handle;
  await handle.close();
  throw new GatewayError('SPOOL_LOCKED', `the spool ${dir} has a writer already: give each gateway its own`);
}
