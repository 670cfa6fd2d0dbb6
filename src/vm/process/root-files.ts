/**
 * The files of a root that nothing runs in yet, looked at and laid from outside (shell).
 *
 * The root is a stranger's work. A link in it leads where it would lead the sandbox, never to a file of the host; and
 * what is laid takes the place of what was there, so that no pipe, device or second name of a file is written through.
 */
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import type { DataFile } from '../command.js';
import { ErrFileFailed, ErrFileNotFound, ErrVMStartFailed } from '../errors.js';
import type { GuestFileLayer } from '../guest-setup.js';
import { hostFiles } from './host.js';
import { seenAt } from './lookup.js';
import type { Mount } from './mounts.js';

const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Of one folder, for a pattern: a folder of Java homes or Python versions holds a few. */
const MAX_NAMES = 256;
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

export class RootFiles implements GuestFileLayer {
  readonly #root: string;
  readonly #plan: readonly Mount[];

  /** `root`: a folder's real path, as the host reaches it. */
  constructor(root: string) {
    this.#root = root;
    this.#plan = [{ kind: 'bind', source: root, target: '/', writable: true }];
  }

  async existing(patterns: readonly string[]): Promise<readonly string[]> {
    const found: string[] = [];
    for (const pattern of patterns) {
      for (const path of await this.#expand(pattern)) if (this.#seen(path) !== null) found.push(path);
    }
    return found;
  }

  async readFile(path: string): Promise<Uint8Array> {
    const real = this.#seen(path);
    if (real === null) throw new ErrFileNotFound(`${path}: no such file or folder in the sandbox`);
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = await file.stat();
      if (!stat.isFile() || stat.size > MAX_FILE_BYTES)
        throw new ErrFileFailed(`${path}: is not a file, or larger than ${MAX_FILE_BYTES} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  async putFiles(files: readonly (DataFile & { readonly mode?: number })[]): Promise<void> {
    for (const { path, content, mode = FILE_MODE } of files) {
      if (path.endsWith('/')) await this.ensureFolder(path);
      else await this.#put(path, content, mode);
    }
  }

  /** Makes what is missing of a folder. Gives its path without links, as the sandbox has it. */
  async ensureFolder(path: string, mode: number = FOLDER_MODE): Promise<string> {
    let real = this.#root;
    let done = '';
    const parts = path.split('/').filter(part => part !== '');
    for (const [index, part] of parts.entries()) {
      done = `${done}/${part}`;
      const next = this.#seen(posix.join(this.#within(real), part));
      if (next !== null) {
        if (hostFiles.kind(next) !== 'directory') throw unfit(done, 'is no folder');
        real = next;
        continue;
      }
      real = posix.join(real, part);
      if (hostFiles.kind(real) !== null) throw unfit(done, 'is a link that leads to no folder');
      await mkdir(real);
      await chmod(real, index === parts.length - 1 ? mode : FOLDER_MODE);
    }
    return this.#within(real);
  }

  /** An empty file where nothing is. Gives its path without links. */
  async ensureFile(path: string): Promise<string> {
    const real = this.#seen(path);
    if (real === null) return await this.#put(path, new Uint8Array(0), FILE_MODE);
    if ((await lstat(real)).isFile()) return this.#within(real);
    throw unfit(path, 'is no file');
  }

  /** The same as a folder that no link leads to, made where it is missing: what is mounted there is at this path. */
  async ensurePlainFolder(path: string, mode: number = FOLDER_MODE): Promise<void> {
    if ((await this.ensureFolder(path, mode)) !== path) throw unfit(path, 'is reached by a link');
  }

  /** The host's path of what the sandbox would see at `path`. */
  #seen(path: string): string | null {
    return seenAt(path, { plan: this.#plan, host: hostFiles });
  }

  #within(real: string): string {
    return real.slice(this.#root.length) || '/';
  }

  async #put(path: string, content: Uint8Array, mode: number): Promise<string> {
    const { dir, base } = posix.parse(path);
    const folder = await this.ensureFolder(dir);
    const real = this.#seen(path) ?? posix.join(this.#root, folder, base);
    if (hostFiles.kind(real) === 'directory') throw unfit(path, 'is a folder');
    await rm(real, { force: true });
    const file = await open(real, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.chmod(mode);
    } finally {
      await file.close();
    }
    return this.#within(real);
  }

  async #expand(pattern: string): Promise<readonly string[]> {
    let found: readonly string[] = [''];
    for (const part of pattern.split('/').filter(name => name !== '')) {
      const next = found.map(async at => {
        const names = part === '*' ? await this.#namesIn(at) : [part];
        return names.map(name => `${at}/${name}`);
      });
      found = (await Promise.all(next)).flat();
    }
    return found;
  }

  async #namesIn(path: string): Promise<readonly string[]> {
    const real = path === '' ? this.#root : this.#seen(path);
    if (real === null || hostFiles.kind(real) !== 'directory') return [];
    return (await readdir(real)).slice(0, MAX_NAMES);
  }
}

function unfit(path: string, what: string): Error {
  return new ErrVMStartFailed(
    `${path} ${what} in the root of the sandbox, by its image or by what was left there`,
  );
}
