/**
 * Names for images, and what sandboxes hold on to (shell: one small file for each, replaced as a whole).
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from '../../core/errors.js';
import { publish } from './blobs.js';
import { type Digest, isDigest } from './manifest.js';

/** A name, or the folder of a sandbox, and the manifest that it stands for. */
export interface Ref {
  readonly name: string;
  readonly manifest: Digest;
  readonly createdMs: number;
}

const refSchema = z.object({
  name: z.string(),
  manifest: z.custom<Digest>(value => typeof value === 'string' && isDigest(value)),
  createdMs: z.number(),
});

/** `refs` are for people; `pins` are for sandboxes that need their image again when they start. */
export class RefStore {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<RefStore> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new RefStore(folder);
  }

  async set(ref: Ref): Promise<void> {
    const temporary = join(this.#folder, `.${randomBytes(12).toString('hex')}`);
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(ref)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(temporary, this.#path(ref.name));
  }

  async find(name: string): Promise<Ref | null> {
    return readRef(this.#path(name));
  }

  /** In order of names. */
  async list(): Promise<readonly Ref[]> {
    const names = (await readdir(this.#folder)).filter(name => name.endsWith('.json'));
    const refs = await Promise.all(names.map(name => readRef(join(this.#folder, name))));
    return refs.filter(ref => ref !== null).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async remove(name: string): Promise<boolean> {
    try {
      await rm(this.#path(name));
      return true;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /** What a killed process left half written. Nobody may be setting. */
  async tidy(): Promise<void> {
    const names = (await readdir(this.#folder)).filter(name => name.startsWith('.'));
    for (const name of names) await rm(join(this.#folder, name), { force: true });
  }

  /** Names hold slashes, and may be longer than a file's name. */
  #path(name: string): string {
    return join(this.#folder, `${createHash('sha256').update(name).digest('hex')}.json`);
  }
}

/** Null for one that is gone, or that no program of ours wrote. */
async function readRef(path: string): Promise<Ref | null> {
  try {
    return refSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof SyntaxError || error instanceof z.ZodError)
      return null;
    throw error;
  }
}
