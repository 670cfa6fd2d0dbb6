/** The host's files, asked by system calls (shell). */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import type { HostFiles } from './mounts.js';

/** An answer of "nothing there" includes "not for us to see": the sandbox has no more rights than we have. */
export const hostFiles: HostFiles = {
  realpath: path => orNull(() => realpathSync(path)),
  kind: path => orNull(() => kindOf(path)),
  readlink: path => readlinkSync(path),
  isExecutable: path =>
    orNull(() => {
      accessSync(path, constants.X_OK);
      return true;
    }) ?? false,
  mayEnter: folder => orNull(() => isEnterable(statSync(folder))) ?? false,
};

/** Root is an ordinary user here: a user namespace gives it no power over what belongs to others. */
function isEnterable({ uid, gid, mode }: Stats): boolean {
  if (uid === process.geteuid?.()) return true;
  const ours = gid === process.getegid?.() || process.getgroups?.().includes(gid) === true;
  return (mode & (ours ? 0o010 : 0o001)) !== 0;
}

/** The text of a file of the host, or null. */
export function readHostText(path: string): string | null {
  return orNull(() => readFileSync(path, 'utf8'));
}

const MAX_TEXT_BYTES = 1024 * 1024;

/**
 * The text of a small file of a sandbox that may be running, or null. What runs there can change the file between the
 * look and the reading, but make us neither wait nor follow a link of its last name.
 */
export function readForeignText(path: string): string | null {
  return orNull(() => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = fstatSync(fd);
      return stat.isFile() && stat.size <= MAX_TEXT_BYTES ? readFileSync(fd, 'utf8') : null;
    } finally {
      closeSync(fd);
    }
  });
}

function kindOf(path: string): ReturnType<HostFiles['kind']> {
  const stat = lstatSync(path);
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  return stat.isSocket() ? 'socket' : 'file';
}

function orNull<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch {
    return null; // absent, or not for us to see: see above
  }
}
