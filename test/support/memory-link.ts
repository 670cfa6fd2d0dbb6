/** Two ends of a connection in memory: what one writes the other reads. */
import { Duplex } from 'node:stream';

export interface MemoryLink {
  readonly near: Duplex;
  readonly far: Duplex;
}

/** A pair of connected streams; `highWaterMark` bytes are under way at most, each way. */
export function memoryLink(highWaterMark = 65_536): MemoryLink {
  const near = new LinkEnd(highWaterMark);
  const far = new LinkEnd(highWaterMark);
  near.peer = far;
  far.peer = near;
  return { near, far };
}

class LinkEnd extends Duplex {
  peer: LinkEnd | null = null;
  #waiting: (() => void) | null = null;

  constructor(highWaterMark: number) {
    super({ highWaterMark, allowHalfOpen: true });
  }

  override _read(): void {
    const resume = this.#waiting;
    this.#waiting = null;
    resume?.();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const { peer } = this;
    if (peer === null || peer.destroyed) {
      done(new Error('the peer is gone'));
      return;
    }
    if (peer.push(chunk)) done();
    else peer.#waiting = done;
  }

  override _final(done: () => void): void {
    if (this.peer !== null && !this.peer.destroyed) this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#waiting?.();
    const { peer } = this;
    setImmediate(() => peer?.destroy());
    done(error);
  }
}
