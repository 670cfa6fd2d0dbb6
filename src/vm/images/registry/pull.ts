/**
 * Brings an image from a registry into the store: manifest, configuration, layers.
 *
 * Only what the store lacks is asked for, three blobs at a time.
 */
import { GatewayError } from '../../../core/errors.js';
import type { BlobStore } from '../blobs.js';
import {
  choosePlatform,
  type Descriptor,
  type Digest,
  type Manifest,
  type Platform,
  parseManifest,
} from '../manifest.js';
import { partsOf } from '../source/layout.js';
import { type Fetched, persistently, type RepositoryClient } from './client.js';

/** How far one blob is. `doneBytes` may begin above 0: what an earlier attempt left is kept. */
export interface PullProgress {
  readonly digest: Digest;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface PullOptions {
  readonly client: RepositoryClient;
  readonly blobs: BlobStore;
  readonly platform: Platform;
  readonly onProgress: (progress: PullProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

const AT_A_TIME = 3;

/** The digest of the manifest for the platform; all its parts are in the store. */
export async function pullImage(reference: string, options: PullOptions): Promise<Digest> {
  const { blobs, client } = options;
  const { fetched, manifest } = await chosenManifest(await client.manifest(reference), options);
  const waiting = [...partsOf(manifest)];
  const work = async (): Promise<void> => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift())
      await pullBlob(part, options);
  };
  const workers = await Promise.allSettled(Array.from({ length: AT_A_TIME }, work));
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
  return (await blobs.add([fetched.bytes], fetched.bytes.length)).digest;
}

/** An index may lead to an index, but not for ever. */
const MAX_DEPTH = 3;

async function chosenManifest(
  fetched: Fetched,
  options: PullOptions,
  depth = 0,
): Promise<{ readonly fetched: Fetched; readonly manifest: Manifest }> {
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  if (!parsed.ok) throw new GatewayError('IMAGE_INVALID', `the manifest ${fetched.digest}: ${parsed.error}`);
  if (parsed.value.kind === 'manifest') return { fetched, manifest: parsed.value };
  const { os, architecture } = options.platform;
  const chosen = depth < MAX_DEPTH ? choosePlatform(parsed.value, options.platform) : null;
  if (chosen === null)
    throw new GatewayError('IMAGE_NOT_FOUND', `there is no image for ${os}/${architecture}`);
  const next = await options.client.manifest(chosen.digest);
  if (next.bytes.length !== chosen.size) {
    throw new GatewayError(
      'IMAGE_INVALID',
      `the manifest ${chosen.digest} has not the size that its index says`,
    );
  }
  return chosenManifest({ ...next, mediaType: chosen.mediaType }, options, depth + 1);
}

async function pullBlob(part: Descriptor, { blobs, client, onProgress, signal }: PullOptions): Promise<void> {
  const told = (doneBytes: number): void =>
    onProgress({ digest: part.digest, doneBytes, totalBytes: part.size });
  const source = async (offset: number): Promise<AsyncIterable<Uint8Array>> =>
    watched(await client.blob(part.digest, offset), offset, told);
  await persistently(() => blobs.addKnown(part, source, signal), signal);
  told(part.size);
}

async function* watched(
  chunks: AsyncIterable<Uint8Array>,
  from: number,
  told: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = from;
  for await (const chunk of chunks) {
    done += chunk.length;
    told(done);
    yield chunk;
  }
}
