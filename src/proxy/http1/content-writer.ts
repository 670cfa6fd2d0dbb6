/**
 * Content on its way to a socket: framed, paced by the socket, and cut so that it can be seen when its source fails.
 */
import type { Duplex, Readable } from 'node:stream';
import { GatewayError, type GatewayErrorCode } from '../../core/errors.js';
import type { HeaderList } from '../../core/headers.js';
import type { Framing } from '../exchange.js';
import { emitChunkSize, emitLastChunk } from './write.js';

export interface ContentSink {
  readonly socket: Duplex;
  /** Counts bytes as they are written. */
  wrote(bytes: number): void;
  /** The socket takes no more until its next `drain`. */
  stalled(): void;
}

export interface WrittenContent {
  readonly body: Readable;
  readonly framing: Framing;
  readonly trailers: () => HeaderList;
  /** Blames whoever made the content when it cannot be written. */
  readonly blame: GatewayErrorCode;
}

/** Chunks below this are joined with their framing: one buffer is cheaper than three. */
const JOINED_BYTES = 16 * 1024;

/**
 * Writes the content. Resolves when the kernel has all of it; rejects when the body fails, is cut short, has another
 * length than was announced, or the socket closes. The caller then destroys the socket, and this destroys the body.
 */
export function writeContent(content: WrittenContent, sink: ContentSink): Promise<void> {
  return new Promise((resolve, reject) => {
    new ContentWriter(content, sink, resolve, reject).start();
  });
}

class ContentWriter {
  readonly #content: WrittenContent;
  readonly #sink: ContentSink;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  /** Bytes still owed under a content-length. */
  #owed: number;
  #settled = false;

  constructor(
    content: WrittenContent,
    sink: ContentSink,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#content = content;
    this.#sink = sink;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#owed = content.framing.kind === 'length' ? content.framing.bytes : Number.POSITIVE_INFINITY;
  }

  start(): void {
    const { body } = this.#content;
    const { socket } = this.#sink;
    if (body.errored) {
      this.#fail(body.errored);
      return;
    }
    if (body.destroyed) {
      this.#fail(this.#fault('the content was discarded'));
      return;
    }
    socket.on('drain', this.#drained).on('close', this.#closed);
    body.on('data', this.#data).on('end', this.#ended).on('error', this.#failed).on('close', this.#cut);
  }

  readonly #data = (chunk: Buffer): void => {
    if (this.#settled || chunk.length === 0) return;
    this.#owed -= chunk.length;
    if (this.#owed < 0) {
      this.#fail(this.#fault('the content is longer than was announced'));
      return;
    }
    const takesMore = this.#content.framing.kind === 'chunked' ? this.#writeChunk(chunk) : this.#write(chunk);
    if (takesMore) return;
    this.#content.body.pause();
    this.#sink.stalled();
  };

  #write(bytes: Buffer | string): boolean {
    this.#sink.wrote(bytes.length);
    return this.#sink.socket.write(bytes, 'latin1');
  }

  #writeChunk(chunk: Buffer): boolean {
    const size = emitChunkSize(chunk.length);
    const { socket } = this.#sink;
    if (chunk.length < JOINED_BYTES) {
      const framed = Buffer.allocUnsafe(size.length + chunk.length + 2);
      framed.write(size, 'latin1');
      framed.set(chunk, size.length);
      framed.write('\r\n', size.length + chunk.length, 'latin1');
      return this.#write(framed);
    }
    socket.cork();
    this.#write(size);
    this.#write(chunk);
    const takesMore = this.#write('\r\n');
    socket.uncork();
    return takesMore;
  }

  readonly #drained = (): void => {
    this.#content.body.resume();
  };

  readonly #ended = (): void => {
    if (this.#settled) return;
    if (this.#owed > 0 && this.#owed !== Number.POSITIVE_INFINITY) {
      this.#fail(this.#fault('the content is shorter than was announced'));
      return;
    }
    const { framing, trailers, blame } = this.#content;
    try {
      const last = framing.kind === 'chunked' ? emitLastChunk(trailers(), blame) : '';
      this.#sink.wrote(last.length);
      this.#sink.socket.write(last, 'latin1', error => (error ? this.#fail(error) : this.#succeed()));
    } catch (error) {
      this.#fail(error);
    }
  };

  readonly #failed = (error: Error): void => this.#fail(error);
  readonly #closed = (): void => this.#fail(new GatewayError('CLIENT_ABORTED', 'the connection closed'));

  /** `close` without `end`: nobody said why. After `end` the last write is still on its way. */
  readonly #cut = (): void => {
    if (!this.#content.body.readableEnded) this.#fail(this.#fault('the content ended early'));
  };

  #fault(message: string): GatewayError {
    return new GatewayError(this.#content.blame, message);
  }

  #succeed(): void {
    if (this.#settle()) this.#resolve();
  }

  #fail(error: unknown): void {
    if (!this.#settle()) return;
    this.#content.body.destroy();
    this.#reject(error);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    const { body } = this.#content;
    this.#sink.socket.off('drain', this.#drained).off('close', this.#closed);
    // The error listener stays: a body that fails late must not end the process.
    body.off('data', this.#data).off('end', this.#ended).off('close', this.#cut);
    return true;
  }
}
