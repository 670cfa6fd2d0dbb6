/**
 * Small writes of one turn, joined to one: a frame is too little for a system call, a TLS record and a callback of its
 * own.
 */
import type { Duplex } from 'node:stream';

type Done = (error?: Error | null) => void;

/** Larger pieces go as they are, behind what was gathered. */
const SMALL_BYTES = 4_096;
const BATCH_BYTES = 65_536;

export class WriteBatch {
  readonly #socket: Duplex;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #dones: Done[] = [];
  #scheduled = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Takes bytes in any case; false: no more until the socket's `drain`. */
  write(bytes: Buffer, done?: Done): boolean {
    if (bytes.length > SMALL_BYTES) return this.#writeLarge(bytes, done);
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (done !== undefined) this.#dones.push(done);
    if (this.#bytes >= BATCH_BYTES) this.flush();
    else this.#schedule();
    return !this.#socket.writableNeedDrain;
  }

  /** Hands what was gathered to the socket. */
  flush(): void {
    const { length } = this.#pieces;
    if (length === 0) return;
    const [only] = this.#pieces;
    const whole = length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces, this.#bytes);
    const dones = this.#dones;
    this.#pieces = [];
    this.#bytes = 0;
    this.#dones = [];
    if (dones.length === 0) this.#socket.write(whole);
    else this.#socket.write(whole, error => settle(dones, error));
  }

  #writeLarge(bytes: Buffer, done?: Done): boolean {
    const joins = this.#pieces.length > 0;
    if (joins) this.#socket.cork();
    this.flush();
    const takesMore = this.#socket.write(bytes, done);
    if (joins) this.#socket.uncork();
    return takesMore;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

function settle(dones: readonly Done[], error?: Error | null): void {
  for (const done of dones) done(error);
}
