/**
 * A connection of a sandbox whose bytes wait for their turn, each way.
 *
 * What is not yet due is not read: the sandbox feels it as a full window, the gateway holds one quantum. A shell, as
 * the socket below it is one.
 */
import { Duplex } from 'node:stream';
import type { Pacer } from './pacer.js';

export interface Paces {
  /** From the sandbox outwards; null: no limit. */
  readonly egress: Pacer | null;
  /** To the sandbox. */
  readonly ingress: Pacer | null;
}

type Done = (error?: Error | null) => void;

export class PacedStream extends Duplex {
  readonly #inner: Duplex;
  readonly #paces: Paces;
  /** Takes back the turn that each side waits for. */
  #dropRead: (() => void) | null = null;
  #dropWrite: (() => void) | null = null;
  #isWanted = false;
  #isReading = false;
  #hasEnded = false;
  #bytesRead = 0;
  #bytesWritten = 0;

  constructor(inner: Duplex, paces: Paces) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    this.#paces = paces;
    inner.on('readable', () => this.#pull());
    inner.once('end', () => {
      this.#hasEnded = true;
      this.#pull();
    });
    inner.on('error', error => this.destroy(error));
    // After both ends a quantum may still be on its way: then this stream closes by itself once that was read.
    inner.once('close', () => {
      if (!this.#hasEnded || !inner.writableFinished) this.destroy();
    });
  }

  /** Bytes as a socket counts them. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Ends the connection with a reset, where what is below knows one. */
  resetAndDestroy(): void {
    const inner: Duplex & { resetAndDestroy?: () => void } = this.#inner;
    inner.resetAndDestroy?.();
    this.destroy();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#pull();
  }

  /** Takes what is there, one quantum, and pushes it when its turn has come. */
  #pull(): void {
    if (!this.#isWanted || this.#isReading || this.destroyed) return;
    const chunk = this.#take();
    if (chunk === null) {
      if (!this.#hasEnded) return;
      this.#isWanted = false;
      this.push(null);
      return;
    }
    this.#bytesRead += chunk.length;
    this.#isReading = true;
    this.#dropRead = inTurn(this.#paces.egress, chunk.length, () => {
      this.#isReading = false;
      this.#isWanted = this.push(chunk);
      this.#pull();
    });
  }

  #take(): Buffer | null {
    const { readableLength } = this.#inner;
    const quantum = this.#paces.egress?.quantum ?? readableLength;
    // Reading nothing tells a socket that more is wanted.
    return this.#inner.read(readableLength === 0 ? undefined : Math.min(quantum, readableLength));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#writeFrom(chunk, 0, done);
  }

  #writeFrom(chunk: Buffer, start: number, done: Done): void {
    const end = Math.min(chunk.length, start + (this.#paces.ingress?.quantum ?? chunk.length));
    this.#dropWrite = inTurn(this.#paces.ingress, end - start, () => {
      this.#inner.write(chunk.subarray(start, end), error => {
        if (error) return done(error);
        this.#bytesWritten += end - start;
        if (end === chunk.length) done();
        else this.#writeFrom(chunk, end, done);
      });
    });
  }

  override _final(done: Done): void {
    this.#inner.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#dropRead?.();
    this.#dropWrite?.();
    this.#inner.destroy();
    done(error);
  }
}

const NOTHING = (): void => undefined;

function inTurn(pacer: Pacer | null, bytes: number, go: () => void): () => void {
  if (pacer !== null) return pacer.pass(bytes, go);
  go();
  return NOTHING;
}
