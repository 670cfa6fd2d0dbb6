/** Images that tests make themselves. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Digest } from '../../src/vm/images/manifest.js';

export interface MadeImage {
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
  readonly config: Blob;
  readonly layers: readonly Blob[];
  readonly manifest: Blob;
}

export interface Blob {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface Making {
  /** As archives. */
  readonly layers: readonly Uint8Array[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
  readonly pack?: (layer: Uint8Array) => Uint8Array;
  readonly packing?: string;
  /** Docker's media types instead of OCI's. */
  readonly docker?: boolean;
}

export const sha256 = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The processor of this machine, as images call it. */
export const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

export function makeImage({
  layers,
  config = {},
  architecture = ARCHITECTURE,
  ...making
}: Making): MadeImage {
  const { pack = gzipSync, packing = '+gzip', docker = false } = making;
  const blobs = new Map<Digest, Uint8Array>();
  const keep = (mediaType: string, bytes: Uint8Array): Blob => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const layerType = docker
    ? 'application/vnd.docker.image.rootfs.diff.tar.gzip'
    : `application/vnd.oci.image.layer.v1.tar${packing}`;
  const kept = layers.map(layer => keep(layerType, pack(layer)));
  const keptConfig = keep(
    docker ? 'application/vnd.docker.container.image.v1+json' : 'application/vnd.oci.image.config.v1+json',
    json({ os: 'linux', architecture, config, rootfs: { type: 'layers', diff_ids: layers.map(sha256) } }),
  );
  const mediaType = docker
    ? 'application/vnd.docker.distribution.manifest.v2+json'
    : 'application/vnd.oci.image.manifest.v1+json';
  const manifest = keep(mediaType, json({ schemaVersion: 2, mediaType, config: keptConfig, layers: kept }));
  return { blobs, config: keptConfig, layers: kept, manifest };
}

export const INDEX = 'application/vnd.oci.image.index.v1+json';

/** The files of an image layout, by path. */
export function layoutFiles(image: MadeImage, name?: string): ReadonlyMap<string, Uint8Array> {
  const annotations =
    name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } };
  const index = { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...image.manifest, ...annotations }] };
  return new Map<string, Uint8Array>([
    ['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
    ['index.json', Buffer.from(JSON.stringify(index))],
    ...[...image.blobs].map(([digest, bytes]) => [`blobs/sha256/${digest.slice(7)}`, bytes] as const),
  ]);
}

export function writeFiles(folder: string, files: ReadonlyMap<string, Uint8Array>): string {
  for (const [path, bytes] of files) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return folder;
}
