/**
 * What is made of images and can be made again: file system images, folders (shell).
 *
 * Made beside and renamed, by one process at a time for each image; what a killed one left is collected.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { publish, sizeOf } from './blobs.js';
import { lockFile } from './lock.js';
import { type Digest, hexOf } from './manifest.js';

export class Derived {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Derived> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new Derived(folder);
  }

  /** The path of what `make` made of `digest`, now or before. */
  async ensure(digest: Digest, make: (path: string) => Promise<void>, signal?: AbortSignal): Promise<string> {
    const path = join(this.#folder, hexOf(digest));
    if ((await sizeOf(path)) !== null) return path;
    const lock = await lockFile(`${path}.lock`, 'exclusive', signal);
    try {
      if ((await sizeOf(path)) !== null) return path;
      const temporary = join(this.#folder, `.${randomBytes(12).toString('hex')}`);
      try {
        await make(temporary);
        await publish(temporary, path);
      } finally {
        await rm(temporary, { recursive: true, force: true });
      }
      return path;
    } finally {
      await lock.release();
    }
  }

  /** Removes all but what belongs to `kept`. Nobody may be making. */
  async collect(kept: ReadonlySet<Digest>): Promise<number> {
    let freed = 0;
    for (const name of await readdir(this.#folder)) {
      if (kept.has(`sha256:${name}`)) continue;
      freed += (await sizeOf(join(this.#folder, name))) ?? 0;
      await rm(join(this.#folder, name), { recursive: true, force: true });
    }
    return freed;
  }
}
