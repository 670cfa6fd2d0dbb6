/**
 * What a compressed content says, piece by piece, within bounds (RFC 9110 §8.4.1).
 *
 * A shell only in that zlib works on its own thread: `push` resolves when all that a piece decodes to is known.
 */
import * as zlib from 'node:zlib';

export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd';

/** Decoded bytes that any content may have, and how many more for each byte received. */
const FREE_BYTES = 16 * 1024 * 1024;
const MAX_RATIO = 100;

export class Inflater {
  readonly #stream: zlib.Gunzip;
  #pieces: Uint8Array[] = [];
  #received = 0;
  #decoded = 0;
  #failed = false;

  constructor(coding: ContentCoding, first: number) {
    // A content cut short is the receiver's business: what came is decoded without complaint.
    this.#stream = decoderOf(coding, first, { mayBeCutShort: true });
    this.#stream.on('readable', () => this.#drain());
    this.#stream.on('error', () => {
      this.#failed = true;
    });
  }

  /** Not what it claims to be, or too large: what it has said so far is all that is known. */
  get failed(): boolean {
    return this.#failed;
  }

  push(chunk: Uint8Array): Promise<readonly Uint8Array[]> {
    this.#received += chunk.length;
    return this.#settle(done => this.#stream.write(chunk, done));
  }

  end(): Promise<readonly Uint8Array[]> {
    return this.#settle(done => {
      this.#stream.once('end', done);
      this.#stream.end();
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  /** Runs one step and gives what it decoded; an error ends the step as well. */
  async #settle(step: (done: () => void) => void): Promise<readonly Uint8Array[]> {
    if (!this.#failed && !this.#stream.destroyed) {
      await new Promise<void>(resolve => {
        const done = (): void => {
          this.#stream.off('close', done);
          resolve();
        };
        this.#stream.once('close', done);
        step(done);
      });
      this.#drain();
    }
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #drain(): void {
    for (let piece = this.#stream.read(); piece !== null; piece = this.#stream.read()) {
      const bytes: Uint8Array = piece;
      this.#decoded += bytes.length;
      if (this.#decoded > FREE_BYTES + MAX_RATIO * this.#received) {
        this.#failed = true;
        this.#stream.destroy();
        return;
      }
      this.#pieces.push(bytes);
    }
  }
}

/** The codings of a Content-Encoding, outermost last; null: one of them is not known here. */
export function parseCodings(field: string): readonly ContentCoding[] | null {
  if (field === '') return NO_CODINGS;
  const codings: ContentCoding[] = [];
  for (const part of field.split(',')) {
    const coding = codingOf(part.trim().toLowerCase());
    if (coding === null) return null;
    if (coding !== 'identity') codings.push(coding);
  }
  return codings;
}

/** Of nearly every content. */
const NO_CODINGS: readonly ContentCoding[] = [];

function codingOf(name: string): ContentCoding | 'identity' | null {
  switch (name) {
    case '':
    case 'identity':
      return 'identity';
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
    case 'br':
      return name;
    case 'zstd':
      return 'createZstdDecompress' in zlib ? name : null;
    default:
      return null;
  }
}

/** The coding that content begins as, whatever it is called; null: none that has a signature. */
export function sniffCoding(first: Uint8Array): ContentCoding | null {
  const [a = 0, b = 0, c = 0, d = 0] = first;
  if (a === 0x1f && b === 0x8b && c === 8) return 'gzip';
  if (a === 0x78 && ((a << 8) | b) % 31 === 0 && (b & 0x20) === 0) return 'deflate';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return codingOf('zstd') as 'zstd' | null;
  return null;
}

/** `first` is the content's first byte. Unless it `mayBeCutShort`, content that is not whole is an error at its end. */
export function decoderOf(
  coding: ContentCoding,
  first: number,
  { mayBeCutShort }: { readonly mayBeCutShort: boolean },
): zlib.Gunzip {
  const { Z_SYNC_FLUSH, Z_FINISH, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH } = zlib.constants;
  const options = { finishFlush: mayBeCutShort ? Z_SYNC_FLUSH : Z_FINISH };
  switch (coding) {
    case 'gzip':
      return zlib.createGunzip(options);
    case 'deflate':
      // RFC 9110 §8.4.1.2: "deflate" is zlib's format, but raw deflate is sent under that name.
      return (first & 0x0f) === 8 ? zlib.createInflate(options) : zlib.createInflateRaw(options);
    case 'br':
      return zlib.createBrotliDecompress({
        finishFlush: mayBeCutShort ? BROTLI_OPERATION_FLUSH : BROTLI_OPERATION_FINISH,
      });
    case 'zstd':
      return zstdDecoder();
  }
}

/** Node has it from 22.15 on; the types of the floor do not know it. */
function zstdDecoder(): zlib.Gunzip {
  const make: unknown = Reflect.get(zlib, 'createZstdDecompress');
  if (typeof make !== 'function') throw new RangeError('this Node has no zstd');
  return make() as zlib.Gunzip;
}
