/** The guest's end of a machine's link, without a guest: frames are written to the TAP as a VMM would. */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Seen, seenIn } from './seen.js';

/** `struct virtio_net_hdr`: no offload asked for. */
const HEADER = Buffer.alloc(10);
const LARGEST = 70_000;

export class Link {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(LARGEST);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** False for what the TAP itself takes for no frame. */
  send(frame: Uint8Array): boolean {
    try {
      writeSync(this.#fd, Buffer.concat([HEADER, frame]));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false;
      throw error;
    }
  }

  /** What has come since the last look. */
  read(): readonly Buffer[] {
    const frames: Buffer[] = [];
    for (;;) {
      const length = this.#readOne();
      if (length < 0) return frames;
      frames.push(Buffer.from(this.#buffer.subarray(HEADER.length, length)));
    }
  }

  #readOne(): number {
    try {
      return readSync(this.#fd, this.#buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return -1;
      throw error;
    }
  }

  /** Sends, and waits until nothing has come for `quietMs`. What the gate says unasked is left out. */
  async exchange(frames: readonly Uint8Array[], quietMs = 40): Promise<readonly Seen[]> {
    this.read();
    for (const frame of frames) this.send(frame);
    const seen: Seen[] = [];
    for (let quiet = 0; quiet < quietMs; quiet += 5) {
      await delay(5);
      const came = this.read()
        .map(seenIn)
        .filter(({ kind }) => kind !== 'chatter');
      if (came.length > 0) quiet = 0;
      seen.push(...came);
    }
    return seen;
  }
}
