/**
 * What a guest writes on its console: the last of it, however much it was.
 *
 * Pure of I/O: the stream is the caller's.
 */
import type { Readable } from 'node:stream';

const KEPT_BYTES = 64 * 1024;

export class Console {
  #parts: Buffer[] = [];
  #held = 0;

  constructor(stream: Readable, onBytes?: (bytes: Buffer) => void) {
    stream.on('error', () => {}); // the machine's end says more
    stream.on('data', (bytes: Buffer) => {
      onBytes?.(bytes);
      this.#keep(bytes);
    });
  }

  /** The last lines, as text that a terminal shows and does not obey. */
  tail(lines = 12): string {
    const text = Buffer.concat(this.#parts)
      .toString('latin1')
      .replace(/\x1b\[[0-9;?]*[A-Za-z]|\r/g, '');
    const all = text.split('\n').map(line => line.replace(/[^ -~]/g, '?').trimEnd());
    return all
      .filter(line => line !== '')
      .slice(-lines)
      .join('\n');
  }

  #keep(bytes: Buffer): void {
    this.#parts.push(bytes.length > KEPT_BYTES ? Buffer.from(bytes.subarray(-KEPT_BYTES)) : bytes);
    this.#held += Math.min(bytes.length, KEPT_BYTES);
    while (this.#held > 2 * KEPT_BYTES) this.#held -= this.#parts.shift()?.length ?? 0;
  }
}
