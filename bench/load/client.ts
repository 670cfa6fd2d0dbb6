/**
 * One HTTP/1.1 connection of the load: writes prepared bytes, reads answers, checks status, framing and content.
 *
 * It has to cost less than what it measures: answers are compared, not parsed into objects.
 */
import type { TLSSocket } from 'node:tls';
import { makePattern, PatternCheck } from './pattern.js';

export type Answered = (fault: string | null) => void;

const PATTERN = makePattern();
const HEAD_END = Buffer.from('\r\n\r\n');

export class Client {
  readonly #socket: TLSSocket;
  readonly #check = new PatternCheck(PATTERN);
  #expected = 0;
  #pending: Buffer | null = null;
  #phase: 'head' | 'content' = 'head';
  #chunks: ChunkReader | null = null;
  #left = 0;
  #answered: Answered | null = null;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', () => this.#finish('reset'));
    socket.on('close', () => this.#finish('truncated'));
  }

  get socket(): TLSSocket {
    return this.#socket;
  }

  /** Sends `bytes` and calls `answered` once, when the answer to it was read: `expected` bytes of the pattern. */
  request(bytes: Buffer, expected: number, answered: Answered): void {
    this.#expected = expected;
    this.#answered = answered;
    this.#phase = 'head';
    this.#check.reset();
    this.#socket.write(bytes);
  }

  close(): void {
    this.#answered = null;
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (this.#phase === 'head')
      this.#takeHead(this.#pending === null ? bytes : Buffer.concat([this.#pending, bytes]));
    else this.#takeContent(bytes);
  }

  #takeHead(bytes: Buffer): void {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      this.#pending = bytes;
      return;
    }
    this.#pending = null;
    const head = bytes.toString('latin1', 0, end);
    if (!head.startsWith('HTTP/1.1 200')) {
      this.#finish(`status-${head.slice(9, 12)}`);
      return;
    }
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    this.#phase = 'content';
    if (length === undefined) {
      this.#chunks = new ChunkReader(piece => this.#check.push(piece));
      this.#left = Number.POSITIVE_INFINITY;
    } else {
      this.#chunks = null;
      this.#left = Number(length);
      if (this.#left !== this.#expected) {
        this.#finish('length');
        return;
      }
    }
    this.#takeContent(end + 4 === bytes.length ? EMPTY : bytes.subarray(end + 4));
  }

  #takeContent(bytes: Buffer): void {
    if (this.#chunks !== null) {
      const done = this.#chunks.push(bytes);
      if (done) this.#complete();
      return;
    }
    this.#check.push(bytes);
    this.#left -= bytes.length;
    if (this.#left < 0) this.#finish('too-long');
    else if (this.#left === 0) this.#complete();
  }

  #complete(): void {
    if (this.#check.bytes !== this.#expected) this.#finish('length');
    else this.#finish(this.#check.good ? null : 'content');
  }

  #finish(fault: string | null): void {
    const answered = this.#answered;
    if (answered === null) return;
    this.#answered = null;
    answered(fault);
  }
}

const EMPTY = Buffer.alloc(0);

/** The pieces of a chunked content (RFC 9112 §7.1), for bytes of a peer that is trusted to frame well. */
class ChunkReader {
  readonly #piece: (bytes: Buffer) => void;
  #line = '';
  #left = 0;
  #isLast = false;

  constructor(piece: (bytes: Buffer) => void) {
    this.#piece = piece;
  }

  /** True when the last chunk was read. */
  push(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const end = Math.min(bytes.length, at + this.#left);
        this.#piece(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        continue;
      }
      const feed = bytes.indexOf(0x0a, at);
      const end = feed < 0 ? bytes.length : feed;
      this.#line += bytes.toString('latin1', at, end);
      at = end + 1;
      if (feed < 0) return false;
      const line = this.#line.trim();
      this.#line = '';
      if (this.#isLast) return true;
      if (line === '') continue;
      this.#left = Number.parseInt(line, 16);
      this.#isLast = this.#left === 0;
    }
    return false;
  }
}
