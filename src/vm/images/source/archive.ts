/**
 * The files of a bundle that is an archive (shell): one pass to see what it is, one to put its files into the store.
 */
import { posix } from 'node:path';
import { GatewayError } from '../../../core/errors.js';
import type { BlobStore, Content } from '../blobs.js';
import type { Bounds } from '../decompress.js';
import { tarEvents } from '../layer.js';
import { parseMemberPath, shownPath } from '../member-path.js';
import type { TarEntry } from '../tar/entry.js';
import type { TarEvent } from '../tar/reader.js';
import type { BundleFiles } from './files.js';
import { openRegular, streamOf } from './folder.js';

/** What tells a bundle from a root file system. */
const MARKERS = ['oci-layout', 'manifest.json'];

/** More members than any bundle has. */
const MAX_MEMBERS = 10_000;

/** Null for an archive that is no bundle: then it is a root file system. */
export async function archiveFiles(
  file: string,
  blobs: BlobStore,
  bounds: Bounds,
): Promise<BundleFiles | null> {
  if (!(await isBundle(file, bounds))) return null;
  const members = await takeMembers(await packedOf(file), blobs, bounds);
  const found = (path: string): Content | null => resolve(path, members);
  const needed = (path: string): Content => {
    const content = found(path);
    if (content === null)
      throw new GatewayError('IMAGE_INVALID', `${shownPath(path)} is missing in the archive`);
    return content;
  };
  return {
    read: async (path, maxBytes) => {
      const content = found(path);
      return content === null ? null : blobs.read(content.digest, maxBytes);
    },
    keep: async (path, content) => {
      const { digest, size } = needed(path);
      if (digest !== content.digest || size !== content.size) {
        throw new GatewayError(
          'IMAGE_INVALID',
          `${shownPath(path)} has the digest ${digest} and ${size} bytes`,
        );
      }
    },
    keepAny: async path => needed(path),
  };
}

export async function packedOf(file: string): Promise<AsyncGenerator<Uint8Array>> {
  const handle = await openRegular(file);
  if (handle === null) throw new GatewayError('IMAGE_NOT_FOUND', `${file} does not exist`);
  return streamOf(handle, 0);
}

async function isBundle(file: string, bounds: Bounds): Promise<boolean> {
  for await (const event of tarEvents(await packedOf(file), bounds)) {
    if (event.type === 'entry' && MARKERS.includes(posix.normalize(event.entry.name))) return true;
  }
  return false;
}

type Member = Content | { readonly link: string };

async function takeMembers(
  packed: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
  bounds: Bounds,
): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>();
  const events = tarEvents(packed, bounds);
  let next = await events.next();
  while (!next.done) {
    const event: TarEvent = next.value;
    if (event.type !== 'entry') {
      next = await events.next();
      continue;
    }
    const { entry } = event;
    const path = pathOf(entry);
    if (members.has(path))
      throw new GatewayError('IMAGE_INVALID', `${shownPath(path)} is in the archive twice`);
    if (members.size >= MAX_MEMBERS)
      throw new GatewayError('LIMIT_EXCEEDED', `it has more than ${MAX_MEMBERS} files`);
    const content = new MemberContent(events, entry.size);
    if (entry.type === 'file') members.set(path, await blobs.add(content, Number.MAX_SAFE_INTEGER));
    else if (entry.type === 'symlink')
      members.set(path, { link: posix.join(posix.dirname(path), entry.link) });
    else if (entry.type === 'hardlink') members.set(path, { link: posix.normalize(entry.link) });
    else if (entry.type !== 'directory') {
      throw new GatewayError('IMAGE_INVALID', `${shownPath(path)} is a ${entry.type}`);
    }
    next = content.next ?? (await events.next());
  }
  return members;
}

/** The data events of one member; what comes after them is left in `next`. */
class MemberContent implements AsyncIterable<Uint8Array> {
  next: IteratorResult<TarEvent> | null = null;
  readonly #events: AsyncGenerator<TarEvent>;
  readonly #size: number;

  constructor(events: AsyncGenerator<TarEvent>, size: number) {
    this.#events = events;
    this.#size = size;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let left = this.#size; left > 0; ) {
      const next = await this.#events.next();
      if (next.done || next.value.type !== 'data') {
        this.next = next;
        return;
      }
      left -= next.value.bytes.length;
      yield next.value.bytes;
    }
  }
}

function pathOf(entry: TarEntry): string {
  const path = parseMemberPath(entry.name);
  if (path.ok) return path.value.join('/');
  throw new GatewayError(
    'IMAGE_INVALID',
    `a file of the archive has the name ${shownPath(entry.name)} (${path.error})`,
  );
}

/** Layers that are the same are links to one another in what older versions wrote; at most a few steps. */
function resolve(path: string, members: ReadonlyMap<string, Member>): Content | null {
  let at = path;
  for (let steps = 0; steps < 8; steps += 1) {
    const member = members.get(at);
    if (member === undefined) return null;
    if (!('link' in member)) return member;
    at = member.link;
  }
  return null;
}
