/**
 * An image as a folder, for sandboxes that share the host's kernel (shell: writes files).
 *
 * All files belong to the caller, who is root in the sandbox. Set-user-ID bits are left out: the folder is on the host,
 * and there they would be a program of the image that runs as its owner. No name here goes through a link: the tree has
 * only directories above a name, and all of them were made by us in an empty folder.
 */
import { chmod, link, lutimes, mkdir, open, symlink, utimes } from 'node:fs/promises';
import { type Assembly, contentsOf } from './assemble.js';
import type { NamedInode } from './emission.js';
import { textBytes } from './tar/entry.js';

/** Writes the image into `folder`, which must not exist. */
export async function writeTree(assembly: Assembly, folder: string, signal?: AbortSignal): Promise<void> {
  const at = (path: string): Buffer => Buffer.concat([Buffer.from(`${folder}/`), textBytes(path)]);
  const { directories, others, links } = assembly.emission;
  for (const { path } of directories) await mkdir(at(path), { mode: 0o700 });
  await writeContents(assembly, at, signal);
  for (const { path, inode } of others) {
    // A pipe's other end would be outside: the sandbox makes its own.
    if (inode.kind !== 'symlink') continue;
    await symlink(textBytes(inode.link) as Buffer, at(path));
    await lutimes(at(path), inode.mtime, inode.mtime);
  }
  for (const { path, to } of links) await link(at(to), at(path));
  for (const directory of [...directories].reverse()) {
    const { path, inode } = directory;
    await chmod(at(path), (inode.mode & 0o777) | 0o700);
    await utimes(at(path), inode.mtime, inode.mtime);
  }
}

async function writeContents(
  assembly: Assembly,
  at: (path: string) => Buffer,
  signal: AbortSignal | undefined,
): Promise<void> {
  let file: Awaited<ReturnType<typeof open>> | null = null;
  let current: NamedInode | null = null;
  const finish = async (): Promise<void> => {
    if (file === null || current === null) return;
    await file.chmod((current.inode.mode & 0o777) | 0o400);
    await file.utimes(current.inode.mtime, current.inode.mtime);
    await file.close();
    file = null;
  };
  try {
    for await (const event of contentsOf(assembly)) {
      signal?.throwIfAborted();
      if (event.type === 'file') {
        await finish();
        file = await open(at(event.file.path), 'wx', 0o600);
        current = event.file;
      } else {
        await file?.writeFile(event.bytes);
      }
    }
    await finish();
  } finally {
    await file?.close();
  }
}
