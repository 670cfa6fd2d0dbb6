/**
 * Puts the layers of a manifest together, and gives the result back as one clean archive or as contents by name.
 *
 * Every layer is read twice: once to know which of its members are still there at the end, once for their content. So
 * nothing is written that a later layer takes away, and no bytes of an archive are obeyed before all of them were
 * judged and its digest compared.
 */
import { GatewayError } from '../../core/errors.js';
import type { BlobStore } from './blobs.js';
import type { Bounds } from './decompress.js';
import { type Emission, emissionOf, entryOf, type NamedInode } from './emission.js';
import { readLayer, tarEvents } from './layer.js';
import type { ImageFacts, Manifest } from './manifest.js';
import { emitEnd, emitEntry, emitPadding } from './tar/emit.js';
import { ImageTree, LayerFault } from './tree.js';

/** Bytes that one image may unpack to. */
export const DEFAULT_BOUNDS: Bounds = { maxBytes: 32 * 1024 ** 3 };

export interface Assembly {
  readonly tree: ImageTree;
  readonly emission: Emission;
  /** Of the layers, in order. */
  readonly sources: readonly (() => AsyncIterable<Uint8Array>)[];
  readonly bounds: Bounds;
}

/** Reads all layers and judges them. Throws `IMAGE_INVALID`, `LIMIT_EXCEEDED`. */
export async function assemble(
  blobs: BlobStore,
  manifest: Manifest,
  facts: ImageFacts,
  bounds: Bounds = DEFAULT_BOUNDS,
): Promise<Assembly> {
  if (manifest.layers.length !== facts.diffIds.length) {
    throw new GatewayError(
      'IMAGE_INVALID',
      'the configuration tells of another number of layers than the manifest',
    );
  }
  const sources = manifest.layers.map(
    ({ digest }) =>
      () =>
        blobs.stream(digest),
  );
  const tree = new ImageTree();
  let left = bounds.maxBytes;
  for (const [index, source] of sources.entries()) {
    const digest = manifest.layers[index]?.digest ?? '';
    await inLayer(digest, async () => {
      const { members, diffId, plainBytes } = await readLayer(source(), { ...bounds, maxBytes: left });
      if (diffId !== facts.diffIds[index]) {
        throw new GatewayError(
          'IMAGE_INVALID',
          `it unpacks to ${diffId}, and should to ${facts.diffIds[index]}`,
        );
      }
      tree.addLayer(members, index);
      left -= plainBytes;
    });
  }
  return { tree, emission: emissionOf(tree), sources, bounds };
}

async function inLayer(digest: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof LayerFault)
      throw new GatewayError('IMAGE_INVALID', `layer ${digest}: ${cause.message}`, { cause });
    if (cause instanceof GatewayError)
      throw new GatewayError(cause.code, `layer ${digest}: ${cause.message}`, { cause });
    throw cause;
  }
}

export type ContentEvent =
  | { readonly type: 'file'; readonly file: NamedInode }
  | { readonly type: 'data'; readonly bytes: Uint8Array };

/** The content of every file that is left, each once, in the order of the layers. */
export async function* contentsOf({ emission, sources, bounds }: Assembly): AsyncGenerator<ContentEvent> {
  for (const [layer, source] of sources.entries()) {
    const wanted = emission.contents.get(layer);
    if (wanted === undefined) continue;
    let member = -1;
    let isWanted = false;
    for await (const event of tarEvents(source(), bounds)) {
      if (event.type === 'data') {
        if (isWanted) yield event;
        continue;
      }
      member += 1;
      const file = wanted.get(member);
      isWanted = file !== undefined;
      if (file !== undefined) yield { type: 'file', file };
    }
  }
}

/** The whole image as one archive of ours. */
export async function* archiveOf(assembly: Assembly): AsyncGenerator<Uint8Array> {
  const { directories, others, links } = assembly.emission;
  for (const directory of directories) yield emitEntry(entryOf(directory));
  let padding = 0;
  for await (const event of contentsOf(assembly)) {
    if (event.type === 'data') {
      yield event.bytes;
      continue;
    }
    yield emitPadding(padding);
    yield emitEntry(entryOf(event.file));
    padding = event.file.inode.size;
  }
  yield emitPadding(padding);
  for (const other of others) yield emitEntry(entryOf(other));
  for (const link of links) yield emitEntry(entryOf(link, link.to));
  yield emitEnd();
}
