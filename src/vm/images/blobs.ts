/**
 * Content under its digest, on disk (shell).
 *
 * A blob is there whole or not at all: it is written beside, its digest compared, flushed, and then renamed. What a
 * killed process left beside is removed by the next one that collects garbage, or continued by the next download.
 */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import { lockFile } from './lock.js';
import { type Digest, hexOf } from './manifest.js';

export interface Content {
  readonly digest: Digest;
  readonly size: number;
}

/** Gives the bytes from `offset` on; called again from the start where it cannot continue. */
export type Source = (offset: number) => Promise<AsyncIterable<Uint8Array>>;

export class BlobStore {
  readonly #blobs: string;
  readonly #partial: string;

  private constructor(folder: string) {
    this.#blobs = join(folder, 'blobs', 'sha256');
    this.#partial = join(folder, 'partial');
  }

  static async open(folder: string): Promise<BlobStore> {
    const store = new BlobStore(folder);
    for (const path of [store.#blobs, store.#partial]) await mkdir(path, { recursive: true, mode: 0o700 });
    return store;
  }

  path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  async has({ digest, size }: Content): Promise<boolean> {
    const found = await sizeOf(this.path(digest));
    return found !== null && found === size;
  }

  /** Stores a stream whose digest is not known before. Throws `LIMIT_EXCEEDED` beyond `maxBytes`. */
  async add(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, maxBytes: number): Promise<Content> {
    const path = join(this.#partial, `new-${randomBytes(12).toString('hex')}`);
    const file = await open(path, 'wx', 0o600);
    try {
      const { digest, size } = await copy(bytes, file, { hash: createHash('sha256'), at: 0, maxBytes });
      await file.sync();
      await publish(path, this.path(digest));
      return { digest, size };
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
  }

  /**
   * Stores `content` from `source`, going on where an earlier attempt ended. Throws `IMAGE_INVALID` for other bytes
   * than promised; then nothing is kept.
   */
  async addKnown(content: Content, source: Source, signal?: AbortSignal): Promise<void> {
    const path = join(this.#partial, hexOf(content.digest));
    const lock = await lockFile(`${path}.lock`, 'exclusive', signal);
    try {
      if (await this.has(content)) return;
      const file = await open(path, 'a+', 0o600);
      try {
        await resume(file, content, source);
        await file.sync();
      } catch (error) {
        // What may be continued is kept, but not on a disk that others need to write to.
        const isLost = error instanceof GatewayError && error.code === 'IMAGE_INVALID';
        if (isLost || isDiskFull(error)) await rm(path, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      await publish(path, this.path(content.digest));
    } finally {
      await lock.release();
    }
  }

  stream(digest: Digest): AsyncIterable<Uint8Array> {
    return createReadStream(this.path(digest), { highWaterMark: 256 * 1024 });
  }

  /** A document, whole. Throws `IMAGE_INVALID` where it is missing or longer than a document may be. */
  async read(digest: Digest, maxBytes: number): Promise<Uint8Array> {
    const size = await sizeOf(this.path(digest));
    if (size === null) throw new GatewayError('IMAGE_INVALID', `the blob ${digest} is missing`);
    if (size > maxBytes) throw new GatewayError('IMAGE_INVALID', `the document ${digest} has ${size} bytes`);
    const bytes = await readFile(this.path(digest));
    // Documents are small, and what they say is believed: a disk that lost bytes must not speak for an image.
    if (digestOf(bytes) !== digest) throw new GatewayError('IMAGE_INVALID', `the blob ${digest} is damaged`);
    return bytes;
  }

  /** Removes every blob but `kept`, and what downloads left. Nobody may be adding. Gives the bytes that it freed. */
  async collect(kept: ReadonlySet<Digest>): Promise<number> {
    let freed = 0;
    const remove = async (path: string): Promise<void> => {
      freed += (await sizeOf(path)) ?? 0;
      await rm(path, { force: true });
    };
    for (const name of await readdir(this.#blobs)) {
      if (!kept.has(`sha256:${name}`)) await remove(join(this.#blobs, name));
    }
    for (const name of await readdir(this.#partial)) await remove(join(this.#partial, name));
    return freed;
  }
}

/** Of the file system, or of what its owner may use of it. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errorCode(error));
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function resume(file: FileHandle, content: Content, source: Source): Promise<void> {
  const hash = createHash('sha256');
  const { size: before } = await file.stat();
  // What an attempt left is hashed again: only bytes that went through this hash are believed.
  if (before >= content.size) await file.truncate(0);
  else
    for await (const chunk of file.createReadStream({ start: 0, autoClose: false }))
      hash.update(chunk as Buffer);
  const at = before >= content.size ? 0 : before;
  const { digest, size } = await copy(await source(at), file, { hash, at, maxBytes: content.size }).catch(
    error => {
      if (!isTooLong(error)) throw error;
      throw new GatewayError(
        'IMAGE_INVALID',
        `${content.digest} is longer than the ${content.size} bytes it should have`,
      );
    },
  );
  if (size < content.size) {
    throw new GatewayError(
      'IMAGE_PULL_FAILED',
      `${content.digest} ended after ${size} of ${content.size} bytes`,
    );
  }
  if (digest !== content.digest) {
    throw new GatewayError('IMAGE_INVALID', `the bytes of ${content.digest} have the digest ${digest}`);
  }
}

interface Copy {
  readonly hash: Hash;
  /** Bytes that are there already. */
  readonly at: number;
  readonly maxBytes: number;
}

async function copy(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  file: FileHandle,
  { hash, at, maxBytes }: Copy,
): Promise<Content> {
  let size = at;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > maxBytes) throw new GatewayError('LIMIT_EXCEEDED', `more than ${maxBytes} bytes`);
    hash.update(chunk);
    for (let done = 0; done < chunk.length; ) {
      done += (await file.write(chunk, done, chunk.length - done)).bytesWritten;
    }
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

function isTooLong(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'LIMIT_EXCEEDED';
}

/** Renames, and flushes the folder: after a power cut the name is there, or is not. */
export async function publish(from: string, to: string): Promise<void> {
  await rename(from, to);
  const folder = await open(dirname(to), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
