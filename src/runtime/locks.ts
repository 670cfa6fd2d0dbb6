/**
 * Locks between processes (shell: flock(2)). The kernel holds them with an open file: whatever ends the process, also
 * SIGKILL, ends its locks. Lock files are never removed while somebody may wait for them.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../core/errors.js';
import { loadSyscalls } from '../net/vestibule/index.js';

export interface Lock extends Disposable {
  release(): void;
}

const EXCLUSIVE = 2;
const NON_BLOCKING = 4;
const TRY_AGAIN_MS = 15;

/** The lock; null while another has it, or where its folder is gone. The file is made where it is not there. */
export async function tryLock(path: string): Promise<Lock | null> {
  const { flock } = await loadSyscalls();
  for (;;) {
    const fd = openOrNull(path);
    if (fd === null) return null;
    if (flock(fd, EXCLUSIVE | NON_BLOCKING) !== 0) {
      closeSync(fd);
      return null;
    }
    if (isStill(path, fd)) return lockOf(fd);
    // Removed, with its folder, between the open and the lock: what is locked is nobody's any more.
    closeSync(fd);
  }
}

/** Waits for the lock, at most `waitMs`; then null. */
export async function lockWithin(path: string, waitMs: number): Promise<Lock | null> {
  const until = performance.now() + waitMs;
  for (;;) {
    const lock = await tryLock(path);
    if (lock !== null || performance.now() >= until) return lock;
    await delay(TRY_AGAIN_MS);
  }
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function isStill(path: string, fd: number): boolean {
  const [now, locked] = [statSync(path, { throwIfNoEntry: false }), fstatSync(fd)];
  return now !== undefined && now.ino === locked.ino && now.dev === locked.dev;
}

function lockOf(fd: number): Lock {
  let open = true;
  const release = (): void => {
    if (open) closeSync(fd);
    open = false;
  };
  return { release, [Symbol.dispose]: release };
}
