/**
 * Lines that wait for the next write, one behind the other, as bytes. Kept as text they would be thousands of small
 * strings that live until then, which costs the garbage collector more than their writing.
 */

/** Kept for use again; a buffer that had to grow is not. */
const ROOM_BYTES = 512 * 1024;

export class PendingLines {
  /** In bytes. */
  length = 0;
  #bytes: Buffer = Buffer.allocUnsafeSlow(ROOM_BYTES);
  /** What the `take` before gave away. */
  #spare: Buffer | null = null;

  /** `line` is printable ASCII, so that a code unit is a byte. */
  add(line: string): void {
    const end = this.length + line.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.write(line, this.length, 'latin1');
    this.length = end;
  }

  /** All of them. Valid until the next `take`. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.length);
    const next = this.#spare ?? Buffer.allocUnsafeSlow(ROOM_BYTES);
    this.#spare = this.#bytes.length === ROOM_BYTES ? this.#bytes : null;
    this.#bytes = next;
    this.length = 0;
    return taken;
  }

  #grow(least: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(least, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}
