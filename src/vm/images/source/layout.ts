/**
 * An OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/…` (OCI image-spec, "Image Layout").
 *
 * Pure but for what `BundleFiles` reads.
 */
import { GatewayError } from '../../../core/errors.js';
import {
  choosePlatform,
  type Descriptor,
  hexOf,
  type Index,
  isLayerType,
  MAX_DOCUMENT_BYTES,
  type Manifest,
  MEDIA,
  type Platform,
  parseManifest,
} from '../manifest.js';
import type { BundleFiles, Found } from './files.js';

/** Whether `files` calls itself a layout. Throws `IMAGE_INVALID` for a version that we do not know. */
export async function isLayout(files: BundleFiles): Promise<boolean> {
  const marker = await files.read('oci-layout', MAX_DOCUMENT_BYTES);
  if (marker === null) return false;
  if (/"imageLayoutVersion"\s*:\s*"1\.\d+\.\d+"/.test(Buffer.from(marker).toString('latin1'))) return true;
  throw new GatewayError('IMAGE_INVALID', 'oci-layout: the version is not 1.x');
}

/** Takes the images of a layout that are for `platform` into the store. Throws `IMAGE_INVALID`. */
export async function takeLayout(files: BundleFiles, platform: Platform): Promise<readonly Found[]> {
  const bytes = await files.read('index.json', MAX_DOCUMENT_BYTES);
  if (bytes === null) throw new GatewayError('IMAGE_INVALID', 'index.json is missing');
  const index = parsed(bytes, '', 'index.json');
  if (index.kind !== 'index') throw new GatewayError('IMAGE_INVALID', 'index.json is not an index');
  const found: Found[] = [];
  for (const [name, candidates] of byName(index)) {
    const chosen = choosePlatform({ kind: 'index', manifests: candidates }, platform) ?? nestedOf(candidates);
    if (chosen === null) continue;
    found.push({ names: name === null ? [] : [name], manifest: await takeManifest(files, chosen, platform) });
  }
  if (found.length > 0) return found;
  throw new GatewayError(
    'IMAGE_INVALID',
    `there is no image for ${platform.os}/${platform.architecture} in it`,
  );
}

/** One name may stand for several platforms. */
function byName(index: Index): ReadonlyMap<string | null, Index['manifests']> {
  const groups = new Map<string | null, Index['manifests'][number][]>();
  for (const manifest of index.manifests)
    groups.set(manifest.name, [...(groups.get(manifest.name) ?? []), manifest]);
  return groups;
}

function nestedOf(candidates: Index['manifests']): Descriptor | null {
  const isIndex = ({ mediaType }: Descriptor): boolean =>
    mediaType === MEDIA.index || mediaType === MEDIA.dockerList;
  return candidates.find(isIndex) ?? null;
}

/** An index may lead to an index, but not for ever. */
const MAX_DEPTH = 3;

async function takeManifest(
  files: BundleFiles,
  from: Descriptor,
  platform: Platform,
  depth = 0,
): Promise<Descriptor> {
  await files.keep(blobPath(from), from);
  const bytes = await files.read(blobPath(from), MAX_DOCUMENT_BYTES);
  if (bytes === null) throw new GatewayError('IMAGE_INVALID', `the manifest ${from.digest} is missing`);
  const document = parsed(bytes, from.mediaType, from.digest);
  if (document.kind === 'manifest') {
    for (const part of partsOf(document)) await files.keep(blobPath(part), part);
    return from;
  }
  const chosen = depth < MAX_DEPTH ? choosePlatform(document, platform) : null;
  if (chosen !== null) return takeManifest(files, chosen, platform, depth + 1);
  throw new GatewayError('IMAGE_INVALID', `it has no image for ${platform.os}/${platform.architecture}`);
}

/** What a manifest needs beside itself. Throws `IMAGE_INVALID` for a layer that is not one. */
export function partsOf(manifest: Manifest): readonly Descriptor[] {
  const odd = manifest.layers.find(({ mediaType }) => !isLayerType(mediaType));
  if (odd !== undefined) {
    throw new GatewayError('IMAGE_INVALID', `${JSON.stringify(odd.mediaType)} is no layer of a file system`);
  }
  return [manifest.config, ...manifest.layers];
}

function parsed(bytes: Uint8Array, mediaType: string, what: string): Index | Manifest {
  const document = parseManifest(bytes, mediaType);
  if (document.ok) return document.value;
  throw new GatewayError('IMAGE_INVALID', `${what}: ${document.error}`);
}

function blobPath({ digest }: Descriptor): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
