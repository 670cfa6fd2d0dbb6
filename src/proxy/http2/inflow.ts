/**
 * Content of one request on its way in: gathered until the request is handed over, a stream from then on, and never
 * more than the window that the client was given (RFC 9113 §5.2).
 *
 * A stream of Node's, without I/O of its own: bytes come by `take`, and `onConsumed` tells what was read.
 */
import { Readable } from 'node:stream';
import type { GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import { type Body, NO_BODY } from '../exchange.js';

export class Inflow {
  readonly #onConsumed: (bytes: number) => void;
  readonly #onWanted: () => void;
  /** Whether the length was announced. */
  readonly announced: boolean;
  /** Content that may still come; under a content-length it must. */
  #owed: number;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #stream: Readable | null = null;
  /** Bytes that were taken and not yet told as consumed. */
  #unread = 0;
  #ended = false;
  #released = false;
  /** The reader waits for bytes. */
  wanted = false;
  trailers: HeaderList = NO_HEADERS;

  /** `length`: the content-length, or null: then `limit` bounds it. `onWanted` is called when more is waited for. */
  constructor(
    length: number | null,
    limit: number,
    onConsumed: (bytes: number) => void,
    onWanted: () => void,
  ) {
    this.announced = length !== null;
    this.#owed = length ?? limit;
    this.#onConsumed = onConsumed;
    this.#onWanted = onWanted;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get gatheredBytes(): number {
    return this.#gatheredBytes;
  }

  /** Takes content; false when it is more than was announced, or than the limit. */
  take(bytes: Buffer): boolean {
    this.#owed -= bytes.length;
    if (this.#owed < 0) return false;
    this.#unread += bytes.length;
    const stream = this.#stream;
    if (stream === null) {
      this.#gathered.push(bytes);
      this.#gatheredBytes += bytes.length;
    } else if (stream.destroyed) {
      this.#consume(0); // nobody reads it any more, and the connection's window is for all
    } else if (bytes.length > 0) {
      this.wanted = false;
      stream.push(bytes);
      this.#consume(stream.readableLength);
    }
    return true;
  }

  /** The content is complete; false when it is less than was announced. */
  end(trailers: HeaderList): boolean {
    if (this.announced && this.#owed > 0) return false;
    this.#ended = true;
    this.trailers = trailers;
    this.#stream?.push(null);
    return true;
  }

  /** The content, from here on the caller's: whole if it has ended. */
  body(): Body {
    const parts = this.#gathered;
    this.#gathered = [];
    if (this.#ended) {
      this.#consume(0);
      const [first = NO_BODY] = parts;
      return parts.length <= 1 ? first : Buffer.concat(parts);
    }
    const stream = new Readable({ highWaterMark: WHEN_EMPTY, read: () => this.#read() });
    // A truncation may come when nobody listens any more; whoever reads the stream sees that it was destroyed.
    stream.on('error', () => {});
    stream.once('close', () => this.#consume(0));
    this.#stream = stream;
    for (const part of parts) stream.push(part);
    return stream;
  }

  /** The content was cut short, or is of no use any more. */
  cut(error: GatewayError): void {
    this.#gathered = [];
    if (!this.#ended) this.#stream?.destroy(error);
  }

  /** The stream is closed: what nobody has read no longer counts, though it may still be read. */
  release(): void {
    this.#consume(0);
    this.#released = true;
  }

  #read(): void {
    if (!this.#ended) {
      this.wanted = true;
      this.#onWanted();
    }
    // Node asks for more before it takes what it has: what was read is only known afterwards.
    process.nextTick(() => this.#consume(this.#stream?.readableLength ?? 0));
  }

  /** All but `held` bytes of what was taken have been read. */
  #consume(held: number): void {
    if (this.#released) return;
    const consumed = this.#unread - held;
    this.#unread = held;
    if (consumed > 0) this.#onConsumed(consumed);
  }
}

/**
 * Node asks for more when less than this is held: once all is read. The window, not the stream, says how much that is;
 * with more here, content read after the last asking would never be told as consumed.
 */
const WHEN_EMPTY = 1;
