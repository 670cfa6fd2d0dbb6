/**
 * A content without one of its codings (RFC 9110 §8.4), so that it can be searched.
 *
 * Content that is not what it was said to be, told by its first bytes, is given as it is: nothing is decoded twice, and
 * who reads on sees one form of it. What breaks later, or ends too early, is seen as a truncation.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ContentCoding, decoderOf, sniffCoding } from '../secrets/inflate.js';

/** Bytes of the longest signature. */
const SIGNATURE_BYTES = 4;

const NOTHING: Uint8Array = new Uint8Array(0);

export function undone(coded: Readable, coding: ContentCoding): Readable {
  return Readable.from(undo(coded, coding), { objectMode: false });
}

async function* undo(coded: Readable, coding: ContentCoding): AsyncGenerator<Uint8Array> {
  const pieces = coded[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    let first = NOTHING;
    while (first.length < SIGNATURE_BYTES) {
      const piece = await pieces.next();
      if (piece.done === true) break;
      first = Buffer.concat([first, piece.value]);
    }
    if (first.length === 0) return;
    const all = Readable.from(behind(first, pieces), { objectMode: false });
    if (!isSigned(coding, first)) return yield* all as AsyncIterable<Uint8Array>;
    const decoder = decoderOf(coding, first[0] ?? 0, { mayBeCutShort: false });
    // A failure destroys the decoder, and the loop below sees that.
    pipeline(all, decoder).catch(() => undefined);
    yield* decoder as AsyncIterable<Uint8Array>;
  } finally {
    coded.destroy();
  }
}

/** The content begins as its coding does, or its coding has no signature. */
function isSigned(coding: ContentCoding, first: Uint8Array): boolean {
  return (coding !== 'gzip' && coding !== 'zstd') || sniffCoding(first) === coding;
}

async function* behind(first: Uint8Array, pieces: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let piece = await pieces.next(); piece.done !== true; piece = await pieces.next()) yield piece.value;
}
