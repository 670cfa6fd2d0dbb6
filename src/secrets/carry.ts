/**
 * The last bytes of a content that arrives in pieces, carried over to the next piece.
 *
 * Pure. The joined bytes stand in a buffer of its own that is used again; what goes on is a view of the caller's
 * piece, so that content in which nothing is found is not copied.
 */

const NOTHING = new Uint8Array(0);

export class Carry {
  /** Bytes that must be looked at again; the first `sent` of them have gone on already. */
  #tail: Uint8Array = NOTHING;
  #sent = 0;
  #chunk: Uint8Array = NOTHING;
  #scratch: Buffer = Buffer.alloc(0);

  /** How many of the joined bytes have gone on. */
  get sent(): number {
    return this.#sent;
  }

  /** Some of what came has not gone on. */
  get holds(): boolean {
    return this.#tail.length > this.#sent;
  }

  /** What was carried, and `chunk` behind it: valid until the next call. */
  join(chunk: Uint8Array): Uint8Array {
    this.#chunk = chunk;
    if (this.#tail.length === 0) return chunk;
    const length = this.#tail.length + chunk.length;
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafe(length);
    this.#scratch.set(this.#tail, 0);
    this.#scratch.set(chunk, this.#tail.length);
    return this.#scratch.subarray(0, length);
  }

  /** Part of the joined bytes, as something that may be kept. */
  part(from: number, to: number): Uint8Array {
    const border = this.#tail.length;
    if (to <= from) return NOTHING;
    if (from >= border) return this.#chunk.subarray(from - border, to - border);
    const head = this.#tail.subarray(from, Math.min(to, border));
    return to <= border ? head : Buffer.concat([head, this.#chunk.subarray(0, to - border)]);
  }

  /** Of the joined bytes, those from `keep` on are carried; those before `sentUpTo` have gone on. */
  settle(keep: number, sentUpTo: number): void {
    const border = this.#tail.length;
    // A copy: the caller may use its buffer again.
    this.#tail =
      keep >= border
        ? Uint8Array.prototype.slice.call(this.#chunk, keep - border)
        : Buffer.concat([this.#tail.subarray(keep), this.#chunk]);
    this.#sent = Math.max(0, sentUpTo - keep);
    this.#chunk = NOTHING;
  }

  /** The bytes that have not gone on, at the end of the content. */
  end(): Uint8Array {
    const rest = this.#tail.subarray(this.#sent);
    this.#tail = NOTHING;
    this.#sent = 0;
    return rest;
  }
}
