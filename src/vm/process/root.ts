/**
 * The root folder of a machine of this host's own programs (shell: makes folders).
 *
 * What a sandbox left in it is a stranger's: a link where a folder should be would lead the mounts of the next start
 * elsewhere, so every step of the way is looked at and never followed.
 */
import { execFile } from 'node:child_process';
import type { Stats } from 'node:fs';
import { chmod, lstat, mkdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorCode } from '../../core/errors.js';
import { SYSTEM_PATH } from '../../net/vestibule/index.js';
import { ErrVMStartFailed } from '../errors.js';
import { type Layout, OWN_FOLDERS } from './layout.js';

export interface RootOptions {
  readonly root: string;
  readonly layout: Layout;
  readonly workspace: string;
  /** Whether what the last start left behind stays. */
  readonly persist: boolean;
}

/** Makes or mends the root. Throws `VM_START_FAILED`. Nothing may run in it. */
export async function prepareRoot({ root, layout, workspace, persist }: RootOptions): Promise<void> {
  if (!persist) await removeTree(root);
  else for (const path of BOOT_EMPTIES) await removeTree(join(root, path));
  await mkdir(root, { recursive: true, mode: 0o755 });
  // The umask of whoever started us must not close the root to the sandbox's other users.
  await chmod(root, 0o755);
  for (const [path, mode] of OWN_FOLDERS) await ensureFolder(root, path, mode);
  for (const path of [...layout.folders, workspace]) await ensureFolder(root, path, 0o755);
  for (const [path, target] of layout.links) await ensureLink(join(root, path), target);
  for (const path of layout.files) await ensureFile(root, path);
}

/** As a boot does. */
const BOOT_EMPTIES = ['/tmp'];

async function ensureFolder(root: string, path: string, mode: number): Promise<void> {
  let at = root;
  const parts = path.split('/').filter(part => part !== '');
  for (const [index, part] of parts.entries()) {
    at = join(at, part);
    const stat = await look(at);
    if (stat === null) {
      const own = index === parts.length - 1 ? mode : 0o755;
      await mkdir(at);
      await chmod(at, own);
    } else if (!stat.isDirectory()) {
      throw new ErrVMStartFailed(
        `the sandbox left something at ${path} that is no folder: remove it, or start afresh`,
      );
    }
  }
}

async function ensureFile(root: string, path: string): Promise<void> {
  const [name = '', ...above] = path.split('/').reverse();
  await ensureFolder(root, above.reverse().join('/'), 0o755);
  const file = join(root, above.join('/'), name);
  const stat = await look(file);
  if (stat === null) await writeFile(file, '', { flag: 'wx' });
  else if (!stat.isFile())
    throw new ErrVMStartFailed(`the sandbox left something at ${path} that is no file`);
}

async function ensureLink(path: string, target: string): Promise<void> {
  const stat = await look(path);
  if (stat?.isSymbolicLink() && (await readlink(path)) === target) return;
  await rm(path, { recursive: true, force: true });
  await symlink(target, path);
}

async function look(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** The folder of the root in a machine's state folder. */
export function rootOf(stateDir: string): string {
  return join(stateDir, 'root');
}

/**
 * Removes a folder that a sandbox has filled: however deep, and with folders that it closed to us. Links are removed,
 * not followed.
 */
export async function removeTree(path: string): Promise<void> {
  const run = promisify(execFile);
  const options = { env: { PATH: SYSTEM_PATH } };
  try {
    await run('rm', ['-rf', '--', path], options);
  } catch {
    // Not root, and a folder was closed: ours all the same.
    await run('chmod', ['-R', 'u+rwX', '--', path], options).catch(() => {});
    await run('rm', ['-rf', '--', path], options);
  }
}
