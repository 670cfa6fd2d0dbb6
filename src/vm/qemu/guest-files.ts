/**
 * What every machine of a home folder boots from: kernel, first file system, default image (shell: makes and finds them).
 *
 * Made once. Each is named after what it was made of, so a new version of this program makes its own, and two processes
 * that make the same at a time do no harm: the last one renames over an equal file.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { SYSTEM_PATH } from '../../net/vestibule/index.js';
import { needProgram } from './closure.js';
import { buildDefaultImage } from './default-image.js';
import { buildInitramfs, MODULES } from './initramfs.js';
import { prepareKernel } from './kernel.js';

export interface GuestFiles {
  readonly kernel: string;
  readonly initramfs: string;
  /** Of the kernel, as `uname -r` says it in the guest. */
  readonly release: string;
}

export interface ImageFile {
  readonly path: string;
  readonly fsType: 'squashfs' | 'erofs' | 'ext4';
}

type Tell = (message: string) => void;

const SILENT: Tell = () => {};

/** In `homeDir`, made if they are not there. `again` makes them anew. */
export async function ensureGuestFiles(
  homeDir: string,
  tell: Tell = SILENT,
  again = false,
): Promise<GuestFiles> {
  const folder = join(homeDir, 'guest');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (again) await rm(join(folder, 'kernel.json'), { force: true });
  const { release, modules } = await ensureKernel(folder, tell);
  const archive = await buildInitramfs(modules);
  const initramfs = join(
    folder,
    `initramfs-${createHash('sha256').update(archive).digest('hex').slice(0, 32)}`,
  );
  if (!existsSync(initramfs)) await publish(initramfs, archive);
  return { kernel: join(folder, `kernel-${release}`), initramfs, release };
}

/** The default image in `homeDir`, made if it is not there. */
export async function ensureDefaultImage(
  homeDir: string,
  tell: Tell = SILENT,
  again = false,
): Promise<ImageFile> {
  const folder = join(homeDir, 'guest');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'default.squashfs');
  if (again || !existsSync(path)) await buildDefaultImage(path, tell);
  return { path, fsType: 'squashfs' };
}

/** The default image as a folder of the caller's own files; one that is there already stays as it is. */
export async function unpackDefaultImage(homeDir: string, to: string): Promise<void> {
  if (existsSync(to)) return;
  const { path } = await ensureDefaultImage(homeDir);
  const part = `${to}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  const args = ['-no-progress', '-quiet', '-no-xattrs', '-dest', part, path];
  await promisify(execFile)(needProgram('unsquashfs'), args, { env: { PATH: SYSTEM_PATH } });
  await rename(part, to);
}

/** Of a file, in hexadecimal. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

interface KernelFacts {
  readonly release: string;
  readonly modules: ReadonlyMap<string, Buffer>;
}

async function ensureKernel(folder: string, tell: Tell): Promise<KernelFacts> {
  const known = await readKernel(folder);
  if (known !== null) return known;
  const scratch = join(folder, `making-${process.pid}`);
  await mkdir(scratch, { recursive: true });
  try {
    const kernel = await prepareKernel(
      scratch,
      MODULES.map(([name]) => name),
      tell,
    );
    const modules = join(folder, `modules-${kernel.release}`);
    await mkdir(modules, { recursive: true });
    for (const [name, content] of kernel.modules) await publish(join(modules, `${name}.ko`), content);
    await rename(kernel.image, join(folder, `kernel-${kernel.release}`));
    // Written last: who reads it finds the rest.
    await publish(join(folder, 'kernel.json'), Buffer.from(JSON.stringify({ release: kernel.release })));
    return kernel;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function readKernel(folder: string): Promise<KernelFacts | null> {
  try {
    const { release } = JSON.parse(await readFile(join(folder, 'kernel.json'), 'utf8')) as {
      release: string;
    };
    const names = await readdir(join(folder, `modules-${release}`));
    const modules = await Promise.all(
      names.map(
        async name =>
          [name.replace(/\.ko$/, ''), await readFile(join(folder, `modules-${release}`, name))] as const,
      ),
    );
    return existsSync(join(folder, `kernel-${release}`)) ? { release, modules: new Map(modules) } : null;
  } catch {
    return null; // not made yet, or half of it removed: it is made again
  }
}

async function publish(path: string, content: Uint8Array): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, content);
  await rename(part, path);
}
