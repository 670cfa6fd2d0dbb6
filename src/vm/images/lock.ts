/**
 * A lock on a file that ends with its holder, whatever ends it (shell; flock(2), which Node does not make).
 *
 * The file stays: who removed it would let two hold "the" lock, one on the file and one on its successor.
 */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../../core/errors.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

const LOOK_AGAIN_MS = 40;

/** Whether the lock was got; throws for any other reason than that somebody holds it. */
type TryLock = (fd: number, operation: number) => boolean;

let loading: Promise<TryLock> | null = null;

async function load(): Promise<TryLock> {
  const { default: koffi } = await import('koffi');
  const flock = koffi.load(null).func('int flock(int fd, int operation)');
  return (fd, operation) => {
    if (flock(fd, operation | LOCK_NB) === 0) return true;
    const { EWOULDBLOCK, EINTR } = koffi.os.errno;
    const errno = koffi.errno();
    if (errno === EWOULDBLOCK || errno === EINTR) return false;
    throw new GatewayError('IMAGE_STORE_FAILED', `the image store cannot be locked (errno ${errno})`);
  };
}

export interface FileLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** Waits until nobody holds `path` otherwise: `shared` holders go together, an `exclusive` one alone. */
export async function lockFile(
  path: string,
  how: 'shared' | 'exclusive',
  signal?: AbortSignal,
): Promise<FileLock> {
  loading ??= load();
  const tryLock = await loading;
  const handle = await open(path, 'a+', 0o600);
  try {
    const operation = how === 'shared' ? LOCK_SH : LOCK_EX;
    while (!tryLock(handle.fd, operation)) await sleep(LOOK_AGAIN_MS, undefined, { signal });
  } catch (error) {
    await handle.close();
    throw error;
  }
  const release = (): Promise<void> => handle.close();
  return { release, [Symbol.asyncDispose]: release };
}
