/**
 * What `docker save` writes: `manifest.json` beside configurations and layers (Docker image-spec 1.2).
 *
 * Pure but for what `BundleFiles` reads. The manifest that such an archive lacks is made here.
 */
import { posix } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../../../core/errors.js';
import type { Content } from '../blobs.js';
import { digestOf } from '../blobs.js';
import { type Descriptor, MAX_DOCUMENT_BYTES, MEDIA } from '../manifest.js';
import type { BundleFiles, Found } from './files.js';

const saved = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string()).max(256),
  }),
);

const MANIFEST = 'manifest.json';

/** Takes every image of the archive, or gives null where it is none of these. */
export async function takeDockerSave(
  files: BundleFiles,
  keepDocument: (bytes: Uint8Array) => Promise<Content>,
): Promise<readonly Found[] | null> {
  const bytes = await files.read(MANIFEST, MAX_DOCUMENT_BYTES);
  if (bytes === null) return null;
  const images = saved.safeParse(jsonOf(bytes));
  if (!images.success)
    throw new GatewayError('IMAGE_INVALID', `${MANIFEST}: it is not what docker save writes`);
  const found: Found[] = [];
  for (const { Config, Layers, RepoTags } of images.data) {
    const config = await files.keepAny(posix.normalize(Config));
    const layers: Content[] = [];
    for (const layer of Layers) layers.push(await files.keepAny(posix.normalize(layer)));
    const manifest = emitManifest(config, layers);
    found.push({
      names: RepoTags ?? [],
      manifest: { ...(await keepDocument(manifest)), mediaType: MEDIA.manifest },
    });
  }
  return found;
}

/** A manifest, always the same bytes for the same parts. */
export function emitManifest(config: Content, layers: readonly Content[]): Uint8Array {
  const describe = (mediaType: string, { digest, size }: Content): Descriptor => ({
    mediaType,
    digest,
    size,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: describe(MEDIA.config, config),
      layers: layers.map(layer => describe(MEDIA.layer, layer)),
    }),
  );
}

/** A configuration for a file system that comes with none. */
export function emitConfig(architecture: string, diffIds: readonly string[]): Uint8Array {
  return Buffer.from(
    JSON.stringify({ os: 'linux', architecture, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
}

export function contentOf(bytes: Uint8Array): Content {
  return { digest: digestOf(bytes), size: bytes.length };
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return null; // the caller says that it is not what it should be
  }
}
