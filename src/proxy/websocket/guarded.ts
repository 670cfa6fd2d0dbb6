/**
 * The upstream's end of a WebSocket as the sandbox may have it: no message leaves that holds what may not leave,
 * pinned placeholders are filled in, and values become placeholders on their way back.
 *
 * A message is judged whole before a byte of it goes on. What leaks, or is no WebSocket (RFC 6455 §7.1.7), ends the
 * dialogue with a close frame to both. (Shell: a timer, and random masks.)
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import type { DialogueGuard, MessageKind } from '../../secrets/dialogue.js';
import type { Leak } from '../../secrets/scan.js';
import { closePayload, emitFrame, OPCODE } from './frames.js';
import { type Incoming, MessageReader } from './messages.js';

/** Longest message that is read whole. */
const MESSAGE_BYTES = 16 * 1024 * 1024;

/** How long a peer may take to close after our close frame. */
const GOODBYE_MS = 1_000;

const CLOSE = { protocolError: 1002, policyViolation: 1008, tooLong: 1009 } as const;

/** Of a close frame's payload, the code. */
const CODE_BYTES = 2;
const MAX_CONTROL = 125;

export interface Guarding {
  readonly upstream: Duplex;
  readonly guard: DialogueGuard;
  /** Told once, before anybody else hears of it. */
  readonly onLeak: (leak: Leak) => void;
}

/** Give it to whoever would have been given `upstream`; that one is owned by it from now on. */
export class GuardedSocket extends Duplex {
  readonly #upstream: Duplex;
  readonly #guard: DialogueGuard;
  readonly #onLeak: (leak: Leak) => void;
  readonly #outgoing = new MessageReader({ masked: true, maxBytes: MESSAGE_BYTES });
  readonly #incoming = new MessageReader({ masked: false, maxBytes: MESSAGE_BYTES });
  #goodbye: NodeJS.Timeout | null = null;
  /** Why the gateway ended the dialogue; null: it did not. */
  stopped: GatewayError | null = null;

  constructor({ upstream, guard, onLeak }: Guarding) {
    super({ allowHalfOpen: true });
    this.#upstream = upstream;
    this.#guard = guard;
    this.#onLeak = onLeak;
    upstream.on('data', (chunk: Buffer) => this.#receive(chunk));
    upstream.once('end', () => this.#received());
    upstream.on('error', error => this.destroy(error));
    upstream.once('close', () => this.#upstreamClosed());
    upstream.pause();
  }

  override _read(): void {
    this.#upstream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#outgoing.atRest) this.#stop(CLOSE.protocolError, fault('CLIENT_PROTOCOL', 'cut-short'));
    else if (this.stopped === null) this.#upstream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#goodbye ?? undefined);
    const upstream = this.#upstream;
    // Its last bytes are a close frame: they are worth the wait.
    if (upstream.writableEnded && !upstream.writableFinished && error === null) {
      upstream.once('finish', () => upstream.destroy());
    } else {
      upstream.destroy();
    }
    done(error);
  }

  async #send(chunk: Uint8Array): Promise<void> {
    if (this.stopped !== null) return;
    const { messages, fault: why } = this.#outgoing.push(chunk);
    for (const message of messages) {
      if (this.stopped !== null) return;
      const frames = await this.#outgoingFrames(message);
      if (frames !== null) await this.#forward(frames);
    }
    if (why !== null) this.#fail('CLIENT_PROTOCOL', why);
  }

  /** Null: the dialogue has ended instead. */
  async #outgoingFrames(message: Incoming): Promise<readonly Uint8Array[] | null> {
    const { payload, leak } = await this.#guard.outgoing(message.kind, message.payload);
    if (leak === null) {
      return payload === message.payload ? message.raw : [framed(message.kind, payload, randomBytes(4))];
    }
    this.#onLeak(leak);
    const error = new GatewayError('SECRET_LEAK', 'a message held what may not leave');
    this.#stop(CLOSE.policyViolation, error);
    return null;
  }

  async #forward(frames: readonly Uint8Array[]): Promise<void> {
    const upstream = this.#upstream;
    for (const frame of frames) {
      if (this.stopped !== null || upstream.destroyed || upstream.writableEnded) return;
      if (!upstream.write(frame)) await Promise.race([once(upstream, 'drain'), once(upstream, 'close')]);
    }
  }

  #receive(chunk: Buffer): void {
    if (this.stopped !== null) return;
    const { messages, fault: why } = this.#incoming.push(chunk);
    for (const message of messages) {
      const frames = this.#incomingFrames(message);
      for (const frame of frames) if (!this.push(frame)) this.#upstream.pause();
    }
    if (why !== null) this.#fail('UPSTREAM_PROTOCOL', why);
  }

  #incomingFrames({ kind, payload, raw, opcode }: Incoming): readonly Uint8Array[] {
    const redacted = this.#guard.incoming(payload);
    if (redacted === payload) return raw;
    if (kind !== 'control') return [framed(kind, redacted, null)];
    // A close's code must stay what it is; a placeholder may be longer than the room that there is.
    const code = opcode === OPCODE.close ? payload.subarray(0, CODE_BYTES) : payload.subarray(0, 0);
    const rest = this.#guard.incoming(payload.subarray(code.length));
    const shortened = Buffer.concat([code, asciiOnly(rest)]).subarray(0, MAX_CONTROL);
    return [emitFrame({ fin: true, opcode, payload: shortened }, null)];
  }

  #received(): void {
    if (this.stopped !== null) return;
    if (this.#incoming.atRest) this.push(null);
    else this.#stop(CLOSE.protocolError, fault('UPSTREAM_TRUNCATED', 'cut-short'));
  }

  #upstreamClosed(): void {
    if (this.stopped !== null || this.#upstream.readableEnded) return;
    this.destroy(new GatewayError('UPSTREAM_TRUNCATED', 'the upstream closed the WebSocket'));
  }

  #fail(code: 'CLIENT_PROTOCOL' | 'UPSTREAM_PROTOCOL', why: string): void {
    const isLong = why === 'message-too-long' || why === 'frame-too-long';
    this.#stop(isLong ? CLOSE.tooLong : CLOSE.protocolError, fault(code, why));
  }

  /** A close frame to both, and the end. */
  #stop(code: number, error: GatewayError): void {
    if (this.stopped !== null) return;
    this.stopped = error;
    const payload = closePayload(code, code === CLOSE.policyViolation ? 'refused by policy' : '');
    const frame = { fin: true, opcode: OPCODE.close, payload };
    this.#upstream.end(emitFrame(frame, randomBytes(4)));
    this.#upstream.resume();
    this.push(emitFrame(frame, null));
    this.push(null);
    this.#goodbye = setTimeout(() => this.destroy(error), GOODBYE_MS).unref();
  }
}

function framed(kind: MessageKind, payload: Uint8Array, mask: Uint8Array | null): Uint8Array {
  return emitFrame({ fin: true, opcode: kind === 'binary' ? OPCODE.binary : OPCODE.text, payload }, mask);
}

/** Cut anywhere, it is still UTF-8. */
function asciiOnly(bytes: Uint8Array): Uint8Array {
  return bytes.map(byte => (byte < 0x80 ? byte : 0x3f));
}

function fault(
  code: 'CLIENT_PROTOCOL' | 'UPSTREAM_PROTOCOL' | 'UPSTREAM_TRUNCATED',
  why: string,
): GatewayError {
  return new GatewayError(code, `the bytes are no WebSocket: ${why}`);
}
