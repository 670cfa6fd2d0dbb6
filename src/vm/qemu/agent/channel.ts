/**
 * One channel to the guest's agent: a command, or one of the agent's own operations, with its streams.
 *
 * Pure of I/O: frames go out through `send`, and come in through `take`. The streams' own back-pressure becomes credit:
 * what nobody reads here is not sent there, and what is not read there is not taken here.
 */
import { Readable, Writable } from 'node:stream';
import { emitFrame, FROM_GUEST, type Frame, TO_GUEST, uint32, WINDOW_BYTES } from './frames.js';

/** How the process behind a channel ended. */
export interface ChannelExit {
  readonly code: number;
  /** Number of the signal that ended it; 0: none. */
  readonly signal: number;
}

/** It never ran: the number of the error (errno), and of what: `command`, `folder`, `user …`, `fork` … */
export class ChannelRefused extends Error {
  override readonly name = 'ChannelRefused';
  readonly errno: number;
  readonly stage: string;

  constructor(errno: number, stage: string) {
    super(`the guest cannot do it: ${stage} (errno ${errno})`);
    this.errno = errno;
    this.stage = stage;
  }
}

/** The link to the guest has ended. */
export class ChannelLost extends Error {
  override readonly name = 'ChannelLost';
}

export interface ChannelLink {
  send(frame: Buffer): void;
  /** No more frames of this channel will be looked at. */
  release(channel: number): void;
}

const MOST_IN_FRAME = 64 * 1024;
/** Credit is given in such pieces, not for every byte. */
const CREDIT_STEP = WINDOW_BYTES / 4;

export class Channel {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The process's number in the guest. Rejects with `ChannelRefused` or `ChannelLost`. */
  readonly started: Promise<number>;
  /** Rejects as `started` does. It does not wait for anybody to read the streams. */
  readonly exit: Promise<ChannelExit>;
  readonly #id: number;
  readonly #link: ChannelLink;
  readonly #out: Output;
  readonly #err: Output;
  #window = WINDOW_BYTES;
  #waiting: { bytes: Buffer; done: (error?: Error | null) => void } | null = null;
  #settle: Settle<number>;
  #settleExit: Settle<ChannelExit>;
  #over = false;

  constructor(id: number, link: ChannelLink) {
    this.#id = id;
    this.#link = link;
    [this.started, this.#settle] = settleable<number>();
    [this.exit, this.#settleExit] = settleable<ChannelExit>();
    // Whoever only reads the streams need not wait for these too.
    this.started.catch(() => {});
    this.exit.catch(() => {});
    this.#out = new Output(bytes => this.#credit(FROM_GUEST.out, bytes));
    this.#err = new Output(bytes => this.#credit(FROM_GUEST.err, bytes));
    this.stdout = this.#out.stream;
    this.stderr = this.#err.stream;
    this.stdin = new Writable({
      highWaterMark: MOST_IN_FRAME,
      write: (bytes: Buffer, _encoding, done) => this.#write(bytes, done),
      final: done => {
        this.#send(TO_GUEST.end);
        done();
      },
    });
    // A command that ended has no use for what is still written.
    this.stdin.on('error', () => {});
  }

  /** To the process group of the command. */
  signal(number: number): void {
    if (!this.#over) this.#send(TO_GUEST.signal, uint32(number));
  }

  resize(rows: number, cols: number): void {
    const size = Buffer.alloc(4);
    size.writeUInt16BE(rows, 0);
    size.writeUInt16BE(cols, 2);
    if (!this.#over) this.#send(TO_GUEST.resize, size);
  }

  /** Kills the process group and wants to know nothing more. */
  close(): void {
    if (this.#over) return;
    this.#send(TO_GUEST.close);
    this.lose(new ChannelLost('the channel was closed'));
  }

  take({ type, payload }: Frame): void {
    switch (type) {
      case FROM_GUEST.started:
        return void this.#settle.resolve(payload.length === 4 ? payload.readUInt32BE(0) : 0);
      case FROM_GUEST.out:
        return void this.#out.push(payload);
      case FROM_GUEST.err:
        return void this.#err.push(payload);
      case FROM_GUEST.outEnd:
        return void this.#ended(this.#out);
      case FROM_GUEST.errEnd:
        return void this.#ended(this.#err);
      case FROM_GUEST.taken:
        return void this.#taken(payload.length === 4 ? payload.readUInt32BE(0) : 0);
      case FROM_GUEST.exit:
        return void this.#exited(payload);
      default:
        return void this.lose(refusalOf(payload));
    }
  }

  /** The channel is over without an exit. */
  lose(error: Error): void {
    if (this.#over) return;
    this.#finish();
    this.#settle.reject(error);
    this.#settleExit.reject(error);
    this.#out.end();
    this.#err.end();
    this.#releaseWriter();
  }

  #exited(payload: Buffer): void {
    if (payload.length !== 8) return void this.lose(new ChannelLost('the guest told no exit'));
    this.#settle.resolve(0);
    this.#settleExit.resolve({ code: payload.readUInt32BE(0), signal: payload.readUInt32BE(4) });
    this.#window = Number.POSITIVE_INFINITY;
    this.#releaseWriter();
    this.#finishWhenDone();
  }

  #ended(output: Output): void {
    output.end();
    this.#finishWhenDone();
  }

  #finishWhenDone(): void {
    if (this.#settleExit.done && this.#out.ended && this.#err.ended) this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#link.release(this.#id);
  }

  #credit(stream: number, bytes: number): void {
    if (!this.#over) this.#send(TO_GUEST.credit, Buffer.concat([Buffer.of(stream), uint32(bytes)]));
  }

  #write(bytes: Buffer, done: (error?: Error | null) => void): void {
    // Nobody is there to read it: what it would have said is in the exit.
    if (this.#over || this.#settleExit.done) return void done();
    this.#waiting = { bytes, done };
    this.#flush();
  }

  #flush(): void {
    while (this.#waiting !== null && this.#window > 0 && !this.#over) {
      const { bytes, done } = this.#waiting;
      const piece = bytes.subarray(0, Math.min(this.#window, MOST_IN_FRAME));
      this.#window -= piece.length;
      this.#send(TO_GUEST.data, piece);
      this.#waiting = piece.length < bytes.length ? { bytes: bytes.subarray(piece.length), done } : null;
      if (this.#waiting === null) done();
    }
  }

  #taken(bytes: number): void {
    // More than was sent cannot have been taken.
    this.#window = Math.min(WINDOW_BYTES, this.#window + bytes);
    this.#flush();
  }

  #releaseWriter(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.done();
  }

  #send(type: number, payload?: Uint8Array): void {
    this.#link.send(emitFrame(type, this.#id, payload));
  }
}

/** One output stream: what it holds is bounded by the credit that was given. */
class Output {
  readonly stream: Readable;
  ended = false;
  readonly #grant: (bytes: number) => void;
  #granted = WINDOW_BYTES;
  #read = 0;
  #held: Buffer[] = [];
  #wanted = false;

  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
    this.stream = new Readable({
      read: () => {
        this.#wanted = true;
        this.#pour();
      },
      // Nobody reads any more: what comes is let through, so that the command does not wait for ever.
      destroy: (error, done) => {
        const dropped = this.#held.reduce((total, { length }) => total + length, 0);
        this.#held = [];
        this.#settleCredit(this.#read + dropped);
        done(error);
      },
    });
  }

  push(bytes: Buffer): void {
    if (this.ended || bytes.length === 0) return;
    this.#granted -= bytes.length;
    // A guest that sends more than it may is not an agent: what is too much is lost.
    if (this.#granted < 0) return;
    if (this.stream.destroyed) return void this.#settleCredit(this.#read + bytes.length);
    this.#held.push(bytes);
    this.#pour();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.#pour();
  }

  #pour(): void {
    while (this.#wanted && !this.stream.destroyed) {
      const bytes = this.#held.shift();
      if (bytes === undefined) break;
      this.#wanted = this.stream.push(bytes);
      this.#settleCredit(this.#read + bytes.length);
    }
    if (this.ended && this.#held.length === 0 && !this.stream.destroyed && !this.stream.readableEnded) {
      if (!this.#closed) this.stream.push(null);
      this.#closed = true;
    }
  }

  #closed = false;

  #settleCredit(read: number): void {
    this.#read = read;
    if (read < CREDIT_STEP || this.ended) return;
    this.#granted += read;
    this.#read = 0;
    this.#grant(read);
  }
}

function refusalOf(payload: Buffer): Error {
  if (payload.length < 4) return new ChannelLost('the guest refused without a reason');
  return new ChannelRefused(
    payload.readUInt32BE(0),
    payload
      .subarray(4, 204)
      .toString('utf8')
      .replace(/[^ -~]/g, '?'),
  );
}

interface Settle<T> {
  readonly done: boolean;
  resolve(value: T): void;
  reject(error: Error): void;
}

function settleable<T>(): [Promise<T>, Settle<T>] {
  let done = false;
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  const settle = {
    get done() {
      return done;
    },
    resolve(value: T) {
      done = true;
      resolve(value);
    },
    reject(error: Error) {
      done = true;
      reject(error);
    },
  };
  return [promise, settle];
}
