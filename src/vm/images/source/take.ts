/**
 * Takes whatever a path leads to into the store: a layout, an archive of one, a root file system (shell).
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../../core/errors.js';
import type { BlobStore, Content } from '../blobs.js';
import { type Bounds, unpacked } from '../decompress.js';
import { MEDIA, type Platform } from '../manifest.js';
import { archiveFiles, packedOf } from './archive.js';
import { emitConfig, emitManifest, takeDockerSave } from './docker-save.js';
import type { Found } from './files.js';
import { folderFiles } from './folder.js';
import { isLayout, takeLayout } from './layout.js';
import { archiveOfFolder } from './root-folder.js';

/** Throws `IMAGE_NOT_FOUND` where nothing is, `IMAGE_INVALID`, `LIMIT_EXCEEDED`. */
export async function takePath(
  path: string,
  blobs: BlobStore,
  platform: Platform,
  bounds: Bounds,
): Promise<readonly Found[]> {
  const stats = await stat(path).catch(cause => {
    throw new GatewayError('IMAGE_NOT_FOUND', `${path}: ${errorCode(cause)}`, { cause });
  });
  if (stats.isDirectory()) {
    const files = folderFiles(path, blobs);
    if (await isLayout(files)) return takeLayout(files, platform);
    return [await takeRoot(await blobs.add(archiveOfFolder(path), bounds.maxBytes), blobs, platform, bounds)];
  }
  if (!stats.isFile()) throw new GatewayError('IMAGE_INVALID', `${path} is neither a folder nor a file`);
  const files = await archiveFiles(path, blobs, bounds);
  if (files === null) {
    const layer = await blobs.add(await packedOf(path), Number.MAX_SAFE_INTEGER);
    return [await takeRoot(layer, blobs, platform, bounds)];
  }
  if (await isLayout(files)) return takeLayout(files, platform);
  const saved = await takeDockerSave(files, bytes => blobs.add([bytes], bytes.length));
  if (saved !== null) return saved;
  throw new GatewayError('IMAGE_INVALID', `${join(path)} holds neither a layout nor what docker save writes`);
}

/** An image of one layer, with nothing to say about commands. */
async function takeRoot(
  layer: Content,
  blobs: BlobStore,
  platform: Platform,
  bounds: Bounds,
): Promise<Found> {
  const hash = createHash('sha256');
  for await (const chunk of unpacked(blobs.stream(layer.digest), bounds)) hash.update(chunk);
  const config = emitConfig(platform.architecture, [`sha256:${hash.digest('hex')}`]);
  const kept = await blobs.add([config], config.length);
  const manifest = emitManifest(kept, [layer]);
  return {
    names: [],
    manifest: { ...(await blobs.add([manifest], manifest.length)), mediaType: MEDIA.manifest },
  };
}
