/**
 * The files of a bundle that is a folder (shell). Links are not followed: a layout that somebody else made must not
 * read what is outside it.
 */
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../../core/errors.js';
import type { BlobStore } from '../blobs.js';
import type { BundleFiles } from './files.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;

export function folderFiles(folder: string, blobs: BlobStore): BundleFiles {
  const opened = async (path: string): Promise<FileHandle> => {
    const file = await openRegular(join(folder, path));
    if (file === null) throw new GatewayError('IMAGE_INVALID', `${path} is missing`);
    return file;
  };
  return {
    read: async (path, maxBytes) => {
      const file = await openRegular(join(folder, path));
      if (file === null) return null;
      try {
        const { size } = await file.stat();
        if (size > maxBytes) throw new GatewayError('IMAGE_INVALID', `${path} has ${size} bytes`);
        return await file.readFile();
      } finally {
        await file.close();
      }
    },
    keep: async (path, content) => {
      if (await blobs.has(content)) return;
      await blobs.addKnown(content, async start => streamOf(await opened(path), start));
    },
    keepAny: async path => blobs.add(streamOf(await opened(path), 0), Number.MAX_SAFE_INTEGER),
  };
}

/** Closes the file when it is read, or left. */
export async function* streamOf(file: FileHandle, start: number): AsyncGenerator<Uint8Array> {
  yield* createReadStream('', { fd: file, start, highWaterMark: 256 * 1024 });
}

/** Null where nothing is. Throws `IMAGE_INVALID` for what is not a regular file. */
export async function openRegular(path: string | Buffer): Promise<FileHandle | null> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY).catch(error => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return null;
    if (errorCode(error) === 'ELOOP') throw notRegular(`${path}`);
    throw error;
  });
  if (file === null || (await file.stat()).isFile()) return file;
  await file.close();
  throw notRegular(`${path}`);
}

function notRegular(path: string): GatewayError {
  return new GatewayError('IMAGE_INVALID', `${path} is not a regular file`);
}
