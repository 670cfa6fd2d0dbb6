/**
 * As much of a content as a script may see, read before it is passed on. A script is shown all of it or nothing: half a
 * content has another meaning than the whole.
 */
import { Readable } from 'node:stream';
import { firstHeader, type HeaderList } from '../../core/headers.js';
import type { BodyOmitted } from '../../policy/hooks.js';
import type { Body } from '../exchange.js';

export interface Shown {
  /** Null: it is not shown. */
  readonly text: string | null;
  readonly omitted: BodyOmitted | null;
  /** The content, whole as it was. */
  readonly body: Body;
}

/** Rejects when the content is cut short. */
export async function showContent(body: Body, headers: HeaderList, maxBytes: number): Promise<Shown> {
  if (isCoded(headers) && !(body instanceof Uint8Array && body.length === 0)) return hidden('coded', body);
  if (body instanceof Uint8Array) return body.length > maxBytes ? hidden('too-long', body) : shown(body);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const iterator = body.iterator({ destroyOnReturn: false });
  for await (const piece of iterator) {
    pieces.push(piece as Uint8Array);
    bytes += (piece as Uint8Array).length;
    if (bytes > maxBytes) return hidden('too-long', resumed(pieces, body));
  }
  return shown(Buffer.concat(pieces));
}

export function isCoded(headers: HeaderList): boolean {
  const coding = firstHeader(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  return coding !== '' && coding !== 'identity';
}

function shown(bytes: Uint8Array): Shown {
  try {
    return {
      text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
      omitted: null,
      body: bytes,
    };
  } catch {
    // The only reason that it has: the bytes are not UTF-8.
    return hidden('not-text', bytes);
  }
}

function hidden(omitted: BodyOmitted, body: Body): Shown {
  return { text: null, omitted, body };
}

/** What was read, and then the rest. */
function resumed(pieces: readonly Uint8Array[], rest: Readable): Readable {
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* pieces;
    yield* rest;
  }
  const stream = Readable.from(all(), { objectMode: false });
  stream.once('close', () => rest.destroy());
  return stream;
}
