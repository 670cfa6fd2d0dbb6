/**
 * A folder that holds a root file system, as one layer (shell: reads the folder, follows no link of it).
 *
 * In order of names and with whole seconds, so that the same folder gives the same digest. Owners are kept; those of an
 * ordinary user's own files become root, who owns them in every image.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { GatewayError } from '../../../core/errors.js';
import { shownPath } from '../member-path.js';
import { emitEnd, emitEntry, emitPadding } from '../tar/emit.js';
import { byteText, type TarEntry, type TarType, textBytes } from '../tar/entry.js';
import { openRegular, streamOf } from './folder.js';

interface Walk {
  readonly root: string;
  /** Of the root's own file system: what is mounted below it is not the image's. */
  readonly device: bigint;
  /** The first name of each file that has several. */
  readonly seen: Map<string, string>;
  readonly own: { readonly uid: number; readonly gid: number } | null;
}

/** The archive of what is in `folder`. Throws `IMAGE_INVALID` for a file that changes while it is read. */
export async function* archiveOfFolder(folder: string): AsyncGenerator<Uint8Array> {
  const uid = process.getuid?.() ?? 0;
  const { dev } = await lstat(folder, { bigint: true });
  const own = uid === 0 ? null : { uid, gid: process.getgid?.() ?? 0 };
  yield* members({ root: folder, device: dev, seen: new Map(), own }, '');
  yield emitEnd();
}

async function* members(walk: Walk, path: string): AsyncGenerator<Uint8Array> {
  // Byte strings, as in every archive; the file system gets the same bytes back.
  const real = hostPath(walk, path);
  const stats = await lstat(real, { bigint: true });
  if (stats.isSocket()) return;
  const entry = await entryOf(walk, path, stats);
  yield emitEntry(entry);
  if (entry.type === 'file' && entry.size > 0) yield* contentOf(walk, path, entry.size);
  if (entry.type !== 'directory' || stats.dev !== walk.device) return;
  const names = (await readdir(real, { encoding: 'buffer' })).map(byteText).sort();
  for (const name of names) yield* members(walk, path === '' ? name : `${path}/${name}`);
}

async function entryOf(walk: Walk, path: string, stats: BigIntStats): Promise<TarEntry> {
  const type = typeOf(stats);
  const inode = `${stats.dev}:${stats.ino}`;
  const first = type === 'file' && stats.nlink > 1n ? walk.seen.get(inode) : undefined;
  if (type === 'file' && stats.nlink > 1n && first === undefined) walk.seen.set(inode, path);
  const isOwn = walk.own !== null && Number(stats.uid) === walk.own.uid;
  return {
    name: path === '' ? './' : path,
    type: first === undefined ? type : 'hardlink',
    mode: Number(stats.mode & 0o7777n),
    uid: isOwn ? 0 : Number(stats.uid),
    gid: walk.own !== null && Number(stats.gid) === walk.own.gid ? 0 : Number(stats.gid),
    mtime: Number(stats.mtimeMs / 1000n),
    size: type === 'file' && first === undefined ? Number(stats.size) : 0,
    link:
      first ??
      (type === 'symlink' ? byteText(await readlink(hostPath(walk, path), { encoding: 'buffer' })) : ''),
    device: deviceOf(stats),
    xattrs: new Map(),
  };
}

async function* contentOf(walk: Walk, path: string, size: number): AsyncGenerator<Uint8Array> {
  const file = await openRegular(hostPath(walk, path));
  if (file === null) throw changed(path);
  let left = size;
  for await (const chunk of streamOf(file, 0)) {
    left -= chunk.length;
    if (left < 0) throw changed(path);
    yield chunk;
  }
  if (left > 0) throw changed(path);
  yield emitPadding(size);
}

function typeOf(stats: BigIntStats): TarType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isBlockDevice() ? 'block' : 'char';
}

/** The numbers of a device, as glibc packs them. */
function deviceOf({ rdev }: BigIntStats): TarEntry['device'] {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)),
  };
}

function hostPath({ root }: Walk, path: string): Buffer {
  return path === '' ? Buffer.from(root) : Buffer.concat([Buffer.from(`${root}/`), textBytes(path)]);
}

function changed(path: string): GatewayError {
  return new GatewayError('IMAGE_INVALID', `${shownPath(path)} changed while it was read`);
}
