/**
 * What a client may send (RFC 9113 §5.2.1): announced once, and renewed as content is read. Pure.
 */
export class ReceiveWindow {
  readonly #size: number;
  #open: number;
  #consumed = 0;

  constructor(size: number) {
    this.#size = size;
    this.#open = size;
  }

  /** Counts bytes that came; false when the client was not allowed them. */
  take(bytes: number): boolean {
    this.#open -= bytes;
    return this.#open >= 0;
  }

  /** Counts bytes that were read; gives the increment to announce now, or 0: half a window is worth a frame. */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed < this.#size / 2) return 0;
    const increment = this.#consumed;
    this.#consumed = 0;
    this.#open += increment;
    return increment;
  }
}
