/**
 * Content on its way from a socket to whoever reads it: a decoder, a stream, and back-pressure between the two. The
 * socket is paused while nobody reads, and has a deadline while somebody waits for it. (A shell: the loop's next phase.)
 */
import { type Duplex, Readable } from 'node:stream';
import type { HeaderList } from '../../core/headers.js';
import { type BodyDecoder, type BodyFault, type Decoded, joined, NO_BYTES } from './body.js';
import type { Deadline } from './deadline.js';

/** Bytes that may wait in the stream before the socket is paused. */
export const HIGH_WATER_MARK = 256 * 1024;

/**
 * TLS hands over one record of 16 KiB after the other. What comes of one read of the socket is passed on as one, up to
 * this size: each piece costs the searching, framing and encrypting behind it as much as four times its bytes.
 */
const GATHERED_BYTES = 64 * 1024;

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
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #passesOn = false;

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
    const { pieces, done, rest } = decoded.value;
    for (const piece of pieces) {
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
    }
    if (done) this.#finish(rest);
    else if (this.#gatheredBytes >= GATHERED_BYTES) this.#passOn();
    else this.#passOnSoon();
  }

  #passOnSoon(): void {
    this.#owner.deadline.set(this.#owner.idleMs);
    if (this.#passesOn || this.#gatheredBytes === 0) return;
    this.#passesOn = true;
    setImmediate(() => {
      this.#passesOn = false;
      if (this.#state === 'open' && this.#gatheredBytes > 0) this.#passOn();
    });
  }

  #passOn(): void {
    if (this.#pushGathered()) {
      this.#owner.deadline.set(this.#owner.idleMs);
      return;
    }
    this.#owner.deadline.clear();
    this.#owner.socket.pause();
  }

  /** False: the stream has enough. */
  #pushGathered(): boolean {
    const pieces = this.#gathered;
    if (pieces.length === 0) return true;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    return this.stream.push(joined(pieces));
  }

  /** Takes what the decoder has made of bytes that came before there was a stream. */
  accept({ pieces, done, rest }: Decoded): void {
    this.#gathered.push(...pieces);
    if (done) this.#finish(rest);
    else this.#passOn();
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
    this.#pushGathered();
    this.#state = 'failed';
    this.stream.destroy(error);
  }

  #finish(rest: Buffer): void {
    this.#pushGathered();
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
