/**
 * What `find` and `stat` say of files, read into values. Pure.
 *
 * A name may hold anything but a slash and a NUL, line feeds among it: each entry ends with a NUL.
 */
import { posix } from 'node:path';
import type { FileInfo, FileKind } from './backend.js';

/** GNU find's: type, mode in octal, size, time of change, path. */
export const FIND_FORMAT = '%y %m %s %T@ %p\\0';

/** For a find without -printf: `stat` of GNU and of busybox both have -c. The mode in hexadecimal holds the type. */
export const STAT_SCRIPT = `for f do stat -c "%f %s %Y" -- "$f" 2>/dev/null | tr "\\n" " " && printf "%s\\0" "$f"; done`;

const GNU = /^([a-z]) ([0-7]+) (\d+) (\d+(?:\.\d+)?) (.*)$/s;
const STAT = /^([0-9a-f]+) (\d+) (\d+) (.*)$/s;

/** Entries of `folder`, in order of names. What is not an entry (a file that went meanwhile) is left out. */
export function parseListing(folder: string, listing: string): readonly FileInfo[] {
  return listing
    .split('\0')
    .map(entry => parseEntry(folder, entry))
    .filter(entry => entry !== null)
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function parseEntry(folder: string, entry: string): FileInfo | null {
  const gnu = GNU.exec(entry);
  if (gnu !== null) {
    const [, type = '', mode = '', size = '', time = '', path = ''] = gnu;
    return info(folder, path, GNU_KINDS.get(type) ?? 'other', Number.parseInt(mode, 8), size, time);
  }
  const [, bits, size = '', time = '', path = ''] = STAT.exec(entry) ?? [];
  if (bits === undefined) return null;
  const mode = Number.parseInt(bits, 16);
  return info(folder, path, STAT_KINDS.get(mode & TYPE_BITS) ?? 'other', mode & ~TYPE_BITS, size, time);
}

const GNU_KINDS: ReadonlyMap<string, FileKind> = new Map([
  ['f', 'file'],
  ['d', 'directory'],
  ['l', 'symlink'],
]);

/** inode(7) */
const TYPE_BITS = 0o170000;
const STAT_KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
]);

function info(
  folder: string,
  path: string,
  kind: FileKind,
  mode: number,
  size: string,
  seconds: string,
): FileInfo {
  const whole = posix.join(folder, path);
  return {
    name: posix.basename(whole),
    path: whole,
    kind,
    isDir: kind === 'directory',
    sizeBytes: Number(size),
    mode,
    modifiedMs: Math.trunc(Number(seconds) * 1000),
  };
}
