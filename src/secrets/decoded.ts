/**
 * Compressed content searched for leaks: each layer is undone piece by piece, and what comes out is scanned.
 *
 * A shell only through `inflate`.
 */
import type { ForeignScanner } from './foreign.js';
import { type ContentCoding, Inflater, sniffCoding } from './inflate.js';
import { BodyScanner, type Leak, type Scope } from './scan.js';
import type { Watch } from './watch.js';

/** Layers of Content-Encoding that are undone; more are refused. */
const MAX_LAYERS = 3;
/** Bytes that tell a coding by its signature. */
const SIGNATURE_BYTES = 4;

const NOTHING = new Uint8Array(0);

export interface DecodedOptions {
  /** Default: `body`. */
  readonly place?: string;
  /** As of `BodyScanner`. */
  readonly foreign?: ForeignScanner | null;
}

export class DecodedScanner {
  readonly #scanner: BodyScanner;
  /** Outermost first. */
  readonly #codings: readonly ContentCoding[];
  #layers: Inflater[] | null = null;
  /** The first bytes, until there are enough to know the coding. */
  #first: Uint8Array = NOTHING;
  #idle = false;

  /** `codings` as declared, outermost last; empty: whatever the first bytes say. */
  constructor(watch: Watch, scope: Scope, codings: readonly ContentCoding[], options: DecodedOptions = {}) {
    const { place = 'body', foreign = null } = options;
    this.#scanner = new BodyScanner(watch, scope, place, foreign);
    this.#codings = [...codings].reverse();
  }

  /** There is nothing to decode: pushing is of no use. */
  get idle(): boolean {
    return this.#idle;
  }

  /** What was decoded so far may end in the beginning of a match. */
  get holds(): boolean {
    return !this.#idle && this.#scanner.holds;
  }

  async push(chunk: Uint8Array): Promise<Leak | null> {
    if (this.#codings.length > MAX_LAYERS) return UNDECODABLE;
    const bytes = this.#layers === null ? this.#gather(chunk) : chunk;
    return bytes === null ? null : this.#search(bytes, 'push');
  }

  async end(): Promise<Leak | null> {
    if (this.#layers === null && this.#first.length > 0) this.#begin(this.#first);
    const rest = this.#first;
    this.#first = NOTHING;
    if (this.#layers === null) return null;
    const leak = rest.length === 0 ? null : await this.#search(rest, 'push');
    return leak ?? this.#search(NOTHING, 'end');
  }

  close(): void {
    for (const layer of this.#layers ?? []) layer.close();
    this.#idle = true;
  }

  /** Gives the first bytes once there are enough of them to begin; null: not yet, or never. */
  #gather(chunk: Uint8Array): Uint8Array | null {
    const first = this.#first.length === 0 ? chunk : Buffer.concat([this.#first, chunk]);
    if (first.length < SIGNATURE_BYTES) {
      this.#first = Uint8Array.prototype.slice.call(first);
      return null;
    }
    this.#first = NOTHING;
    this.#begin(first);
    return this.#layers === null ? null : first;
  }

  #begin(first: Uint8Array): void {
    const sniffed = this.#codings.length === 0 ? sniffCoding(first) : null;
    const codings = sniffed === null ? this.#codings : [sniffed];
    if (codings.length === 0) this.#idle = true;
    else
      this.#layers = codings.map(
        (coding, depth) => new Inflater(coding, depth === 0 ? (first[0] ?? 0) : ZLIB),
      );
  }

  async #search(bytes: Uint8Array, step: 'push' | 'end'): Promise<Leak | null> {
    let pieces: readonly Uint8Array[] = [bytes];
    for (const layer of this.#layers ?? []) {
      const decoded: Uint8Array[] = [];
      for (const piece of pieces) if (piece.length > 0) decoded.push(...(await layer.push(piece)));
      if (step === 'end') decoded.push(...(await layer.end()));
      pieces = decoded;
    }
    for (const piece of pieces) {
      const { leak } = this.#scanner.push(piece);
      if (leak !== null) return leak.encoding === 'plain' ? { ...leak, encoding: 'compressed' } : leak;
    }
    return this.#afterFailure();
  }

  /** A guess that was wrong ends the search; a declared coding that cannot be undone ends the request. */
  #afterFailure(): Leak | null {
    if (!(this.#layers ?? []).some(({ failed }) => failed)) return null;
    if (this.#codings.length > 0) return UNDECODABLE;
    this.close();
    return null;
  }
}

/** First byte of zlib's format: inner layers are taken to be well made. */
const ZLIB = 0x78;

const UNDECODABLE: Leak = { secret: '', place: 'body', encoding: 'compressed', reason: 'undecodable' };
