/**
 * Content as it arrives (RFC 9112 §6.3): by length, or until the connection ends; `chunked.ts` has the third form.
 *
 * Pure, sans-io: bytes in, content and what is left out.
 */
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import { ok, type Result } from '../../core/result.js';
import type { TrailerFault } from './trailers.js';

export type BodyFault =
  | 'bad-chunk-size'
  | 'bad-chunk-extension'
  | 'bad-chunk-end'
  | 'content-too-large'
  | 'head-too-large'
  | TrailerFault;

export interface Decoded {
  /** Views into what was pushed, in order. */
  readonly pieces: readonly Buffer[];
  readonly done: boolean;
  /** What follows the content; empty unless `done`. */
  readonly rest: Buffer;
}

export interface BodyDecoder {
  /** Must not be called again after `done` or a fault. */
  push(bytes: Buffer): Result<Decoded, BodyFault>;
  /** True when the end of the connection, now, is the end of the content and not a truncation. */
  readonly endsWithInput: boolean;
  /** Complete once `done`. */
  readonly trailers: HeaderList;
}

export const NO_BYTES: Buffer = Buffer.alloc(0);

/** Exactly `bytes` bytes, at least one. */
export class LengthDecoder implements BodyDecoder {
  readonly endsWithInput = false;
  readonly trailers = NO_HEADERS;
  #remaining: number;

  constructor(bytes: number) {
    this.#remaining = bytes;
  }

  push(bytes: Buffer): Result<Decoded, never> {
    if (bytes.length < this.#remaining) {
      this.#remaining -= bytes.length;
      return ok({ pieces: [bytes], done: false, rest: NO_BYTES });
    }
    const end = this.#remaining;
    this.#remaining = 0;
    if (bytes.length === end) return ok({ pieces: [bytes], done: true, rest: NO_BYTES });
    return ok({ pieces: [bytes.subarray(0, end)], done: true, rest: bytes.subarray(end) });
  }
}

/** Whatever comes until the connection ends: answers only. */
export class CloseDecoder implements BodyDecoder {
  readonly endsWithInput = true;
  readonly trailers = NO_HEADERS;

  push(bytes: Buffer): Result<Decoded, never> {
    return ok({ pieces: [bytes], done: false, rest: NO_BYTES });
  }
}

/** The pieces as one, without a copy where they are: content that comes in crumbs is not worth a write each. */
export function joined(pieces: readonly Buffer[]): Buffer {
  const [first] = pieces;
  if (first === undefined) return NO_BYTES;
  return pieces.length === 1 ? first : (adjoining(first, pieces) ?? Buffer.concat(pieces));
}

/** One view of pieces that stand behind one another in memory; null: they do not. */
function adjoining({ buffer, byteOffset }: Buffer, pieces: readonly Buffer[]): Buffer | null {
  let end = byteOffset;
  for (const piece of pieces) {
    if (piece.buffer !== buffer || piece.byteOffset !== end) return null;
    end += piece.length;
  }
  return Buffer.from(buffer, byteOffset, end - byteOffset);
}
