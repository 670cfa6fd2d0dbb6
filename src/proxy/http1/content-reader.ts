/**
 * Content on its way from a socket to whoever reads it: a decoder, a stream, and back-pressure between the two. The
 * socket is paused while nobody reads, and has a deadline while somebody waits for it.
 */
import { type Duplex, Readable } from 'node:stream';
import type { HeaderList } from '../../core/headers.js';
import { type BodyDecoder, type BodyFault, type Decoded, joined, NO_BYTES } from './body.js';
import type { Deadline } from './deadline.js';

/** Bytes that may wait in the stream before the socket is paused. */
export const HIGH_WATER_MARK = 256 * 1024;

export interface ContentOwner {
  readonly socket: Duplex;
  readonly deadline: Deadline;
  /** Milliseconds without a byte while one is wanted. */
  readonly idleMs: number;
  /** The content is whole; `rest` came behind it. */
  contentDone(rest: Buffer): void;
  /** It will never be whole. The owner calls `fail` with what its reader shall see. */
  contentFaulty(fault: BodyFault | 'truncated-content'): void;
  /** The reader does not want the rest. */
  contentAbandoned(): void;
  /** The reader asks for the first time. */
  contentWanted(): void;
}

export class ContentReader {
  readonly stream: Readable;
  /** Bytes that were pushed so far, framing included. */
  wireBytes = 0;
  readonly #decoder: BodyDecoder;
  readonly #owner: ContentOwner;
  #state: 'open' | 'done' | 'failed' = 'open';
  #wanted = false;

  constructor(decoder: BodyDecoder, owner: ContentOwner) {
    this.#decoder = decoder;
    this.#owner = owner;
    this.stream = new Readable({
      highWaterMark: HIGH_WATER_MARK,
      read: () => this.#read(),
      destroy: (error, callback) => {
        this.#abandon();
        callback(error);
      },
    });
    // A reader that has not come yet learns of the error from `errored`; without it the process would end.
    this.stream.on('error', () => {});
  }

  get trailers(): HeaderList {
    return this.#decoder.trailers;
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  /** Bytes from the socket. */
  push(bytes: Buffer): void {
    if (this.#state !== 'open') return;
    const decoded = this.#decoder.push(bytes);
    if (!decoded.ok) {
      this.#owner.contentFaulty(decoded.error);
      return;
    }
    this.wireBytes += bytes.length - decoded.value.rest.length;
    this.accept(decoded.value);
  }

  /** Takes what the decoder has made of bytes that came before there was a stream. */
  accept({ pieces, done, rest }: Decoded): void {
    const wantsMore = pieces.length === 0 || this.stream.push(joined(pieces));
    if (done) {
      this.#finish(rest);
      return;
    }
    if (wantsMore) {
      this.#owner.deadline.set(this.#owner.idleMs);
      return;
    }
    this.#owner.deadline.clear();
    this.#owner.socket.pause();
  }

  /** The socket has ended. */
  end(): void {
    if (this.#state !== 'open') return;
    if (!this.#decoder.endsWithInput) {
      this.#owner.contentFaulty('truncated-content');
      return;
    }
    this.#finish(NO_BYTES);
  }

  /** Ends the stream with `error`: its reader sees a truncation. */
  fail(error: Error): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.stream.destroy(error);
  }

  #finish(rest: Buffer): void {
    this.#state = 'done';
    this.#owner.deadline.clear();
    this.stream.push(null);
    this.#owner.contentDone(rest);
  }

  #read(): void {
    if (this.#state !== 'open') return;
    if (!this.#wanted) {
      this.#wanted = true;
      this.#owner.contentWanted();
    }
    this.#owner.deadline.set(this.#owner.idleMs);
    this.#owner.socket.resume();
  }

  #abandon(): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#owner.contentAbandoned();
  }
}
