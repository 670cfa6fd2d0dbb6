/**
 * A layer's members, out of its packed bytes, within bounds.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../../core/errors.js';
import { type Bounds, unpacked } from './decompress.js';
import type { Digest } from './manifest.js';
import { shownPath } from './member-path.js';
import type { TarEntry, TarFault } from './tar/entry.js';
import { type TarEvent, TarReader } from './tar/reader.js';

export interface LayerFacts {
  readonly members: readonly TarEntry[];
  /** Of the plain bytes. */
  readonly diffId: Digest;
  readonly plainBytes: number;
}

/** Bytes that the members of one layer may take in memory, names and attributes together. */
const MAX_MEMBERS = 1_000_000;

/** The events of a whole archive, packed or plain. Throws `IMAGE_INVALID`, `LIMIT_EXCEEDED`. */
export async function* tarEvents(
  packed: AsyncIterable<Uint8Array>,
  bounds: Bounds,
  seen: (plain: Uint8Array) => void = () => {},
): AsyncGenerator<TarEvent> {
  const reader = new TarReader();
  let last: TarEntry | null = null;
  for await (const chunk of unpacked(packed, bounds)) {
    seen(chunk);
    const events = reader.push(chunk);
    if (!events.ok) throw archiveFault(events.error, last);
    for (const event of events.value) {
      if (event.type === 'entry') last = event.entry;
      yield event;
    }
  }
  const end = reader.end();
  if (!end.ok) throw archiveFault(end.error, last);
}

/** Reads a layer once, for what is in it. */
export async function readLayer(packed: AsyncIterable<Uint8Array>, bounds: Bounds): Promise<LayerFacts> {
  const hash = createHash('sha256');
  const members: TarEntry[] = [];
  let plainBytes = 0;
  const events = tarEvents(packed, bounds, plain => {
    hash.update(plain);
    plainBytes += plain.length;
  });
  for await (const event of events) {
    if (event.type !== 'entry') continue;
    members.push(event.entry);
    if (members.length > MAX_MEMBERS) {
      throw new GatewayError('LIMIT_EXCEEDED', `a layer has more than ${MAX_MEMBERS} members`);
    }
  }
  return { members, diffId: `sha256:${hash.digest('hex')}`, plainBytes };
}

function archiveFault(fault: TarFault, last: TarEntry | null): GatewayError {
  const where = last === null ? 'at its beginning' : `after ${shownPath(last.name)}`;
  return new GatewayError('IMAGE_INVALID', `the archive cannot be read ${where}: ${FAULTS[fault]}`);
}

const FAULTS: Readonly<Record<TarFault, string>> = {
  truncated: 'it is cut short',
  'bad-checksum': 'the checksum of a header is wrong: it is no tar archive, or damaged',
  'bad-magic': 'it is not in the ustar, pax or GNU format',
  'bad-number': 'a number in a header is none',
  'bad-name': 'a name is empty, or holds a NUL',
  'bad-type': 'a member is of a type that is not supported (sparse, multi-volume, contiguous)',
  'unexpected-content': 'a directory, a link or a device has content',
  'bad-pax': 'an extended header does not add up, or asks for what is not known here',
  'too-long': 'an extended header or a name is too long',
  'stray-header': 'an extended header stands alone, or says twice the same',
  'trailing-data': 'something follows its end',
};
