/**
 * A bounded reader of TLS presentation syntax (RFC 8446 §3): integers and length-prefixed vectors.
 *
 * Pure. A read past the end gives null, so that no length a stranger wrote is believed.
 */
export class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** A big-endian integer of 1 to 3 bytes. */
  uint(width: 1 | 2 | 3): number | null {
    const end = this.#at + width;
    if (end > this.#bytes.length) return null;
    let value = 0;
    while (this.#at < end) value = value * 256 + (this.#bytes[this.#at++] as number);
    return value;
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array | null {
    if (length > this.#bytes.length - this.#at) return null;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A vector behind a length of `width` bytes, as a view. */
  vector(width: 1 | 2 | 3): Uint8Array | null {
    const length = this.uint(width);
    return length === null ? null : this.take(length);
  }
}
