/**
 * Opens what `--event-log` names: a regular file that is ours alone, a pipe, a device, or a descriptor we were given.
 *
 * A shell. A log in a folder that somebody else can write to must not become a way to append to another file: so no
 * symbolic link is followed, and a regular file is refused if it is another user's or has a second name.
 */
import { constants, fstat, type Stats, write } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errorCode, GatewayError } from '../core/errors.js';

export interface LogFile {
  /** Appends from `offset` on; resolves with how many bytes were taken, rejects with Node's error. */
  write(bytes: Uint8Array, offset: number): Promise<number>;
  close(): Promise<void>;
  /** The last line in it was never finished: a line feed must come first. */
  readonly midLine: boolean;
  /** Bytes in it when it was opened; 0 for what is no regular file. */
  readonly size: number;
  /** What the path led to, if it may be rotated away; null for pipes, devices and descriptors. */
  readonly identity: { readonly device: number; readonly inode: number } | null;
}

/** Only the owner reads a record of every URL. */
const LOG_MODE = 0o600;

const DESCRIPTOR = /^\/(?:dev|proc\/self)\/fd\/(\d{1,4})$/;

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, O_RDONLY } = constants;

/** Non-blocking, because a write that blocks a thread of the pool would keep the process from ending. */
const APPEND = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY;

const statDescriptor = promisify(fstat);

/**
 * Opens `path`; `-` and `/dev/stdout` are standard output, `/dev/fd/N` an inherited descriptor.
 * Throws `EVENTS_FAILED` with what to do.
 */
export async function openLogFile(path: string): Promise<LogFile> {
  try {
    const descriptor = descriptorOf(path);
    if (descriptor !== null) return await openDescriptor(descriptor);
    return await openPath(path);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('EVENTS_FAILED', `event log ${path}: ${openFault(error)}`, { cause: error });
  }
}

/** The path leads to another file by now, or to none. Never throws. */
export async function isRotated(path: string, { identity }: LogFile): Promise<boolean> {
  if (identity === null) return false;
  try {
    const { dev, ino } = await lstat(path);
    return dev !== identity.device || ino !== identity.inode;
  } catch (error) {
    return errorCode(error) === 'ENOENT';
  }
}

async function openPath(path: string): Promise<LogFile> {
  const handle = await open(path, APPEND | O_CREAT | O_NOFOLLOW, LOG_MODE);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) return { ...viaHandle(handle), midLine: false, size: 0, identity: null };
    refuseForeign(stats, path);
    if ((stats.mode & 0o077) !== 0) await handle.chmod(LOG_MODE);
    const midLine = await endsMidLine(path, stats.size);
    return {
      ...viaHandle(handle),
      midLine,
      size: stats.size,
      identity: { device: stats.dev, inode: stats.ino },
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openDescriptor(descriptor: number): Promise<LogFile> {
  const stats = await statDescriptor(descriptor);
  // A pipe or a terminal can be opened anew, so that ours is non-blocking and the sandbox's is untouched. A regular
  // file cannot: two descriptions have two positions, and each would write over the other.
  if (stats.isFIFO() || stats.isCharacterDevice()) {
    const handle = await open(`/proc/self/fd/${descriptor}`, APPEND).catch(() => null);
    if (handle !== null) return { ...viaHandle(handle), midLine: false, size: 0, identity: null };
  }
  return { ...viaDescriptor(descriptor), midLine: false, size: 0, identity: null };
}

type Writer = Pick<LogFile, 'write' | 'close'>;

function viaHandle(handle: FileHandle): Writer {
  return {
    write: async (bytes, offset) => (await handle.write(bytes, offset)).bytesWritten,
    close: () => handle.close(),
  };
}

/** A descriptor that somebody else owns: written to, never closed. */
function viaDescriptor(descriptor: number): Writer {
  return {
    write: (bytes, offset) =>
      new Promise((resolve, reject) => {
        write(descriptor, bytes, offset, null, null, (error, taken) =>
          error ? reject(error) : resolve(taken),
        );
      }),
    close: async () => undefined,
  };
}

function refuseForeign(stats: Stats, path: string): void {
  const refuse = (why: string): never => {
    throw new GatewayError('EVENTS_FAILED', `event log ${path}: ${why}`);
  };
  if (stats.uid !== process.geteuid?.()) refuse('the file belongs to another user; name one that is yours');
  if (stats.nlink > 1) refuse('the file has a second name (a hard link); name a file of its own');
}

/** A crash may have cut the last line short. */
async function endsMidLine(path: string, size: number): Promise<boolean> {
  if (size === 0) return false;
  const reader = await open(path, O_RDONLY | O_NOFOLLOW);
  try {
    const last = await reader.read(new Uint8Array(1), 0, 1, size - 1);
    return last.buffer[0] !== 0x0a;
  } finally {
    await reader.close();
  }
}

function descriptorOf(path: string): number | null {
  if (path === '-' || path === '/dev/stdout') return 1;
  if (path === '/dev/stderr') return 2;
  const digits = DESCRIPTOR.exec(path)?.[1];
  return digits === undefined ? null : Number(digits);
}

const OPEN_FAULTS: ReadonlyMap<string, string> = new Map([
  ['ELOOP', 'it is a symbolic link; name the file itself, or - for standard output'],
  ['ENOENT', 'its folder does not exist'],
  ['EACCES', 'no permission to write there'],
  ['EISDIR', 'it is a folder'],
  ['ENXIO', 'nobody reads from that pipe, or it is a socket'],
  ['EBADF', 'that descriptor is not open'],
]);

function openFault(error: unknown): string {
  const code = errorCode(error);
  return OPEN_FAULTS.get(code) ?? code;
}
