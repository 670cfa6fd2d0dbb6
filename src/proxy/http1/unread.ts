/**
 * Bytes that have arrived and are not read yet. One chunk that is read whole is never copied; a head that comes byte
 * by byte is copied into a buffer that doubles, so that its cost stays linear.
 */
import { NO_BYTES } from './body.js';

const SMALLEST = 1024;

export class Unread {
  #bytes: Buffer = NO_BYTES;
  /** The buffer behind `#bytes` when it is ours to append to, with how much of it is used. */
  #own: Buffer | null = null;
  #used = 0;

  /** A view: valid until the next call that changes the queue. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  append(chunk: Buffer): void {
    if (this.#bytes.length === 0) {
      this.#bytes = chunk;
      this.#own = null;
      return;
    }
    const length = this.#bytes.length + chunk.length;
    if (this.#own === null || this.#used + chunk.length > this.#own.length) this.#move(length);
    const own = this.#own ?? NO_BYTES;
    chunk.copy(own, this.#used);
    this.#used += chunk.length;
    this.#bytes = own.subarray(this.#used - length, this.#used);
  }

  #move(length: number): void {
    const own = Buffer.allocUnsafe(Math.max(SMALLEST, length * 2));
    this.#used = this.#bytes.copy(own);
    this.#own = own;
  }

  /** Forgets the first `count` bytes. */
  skip(count: number): void {
    this.#bytes = count === this.#bytes.length ? NO_BYTES : this.#bytes.subarray(count);
  }

  /** All of it; the queue is empty afterwards. */
  take(): Buffer {
    const bytes = this.#bytes;
    this.#bytes = NO_BYTES;
    this.#own = null;
    return bytes;
  }
}
