/**
 * WebSocket messages out of frames (RFC 6455 §5.4 to §5.6): fragments joined, text checked to be UTF-8, and the bytes as
 * they came beside it.
 *
 * Pure.
 */
import { err, ok, type Result } from '../../core/result.js';
import { type Frame, type FrameFault, FrameReader, OPCODE, type Opcode } from './frames.js';

export type MessageFault = FrameFault | 'bad-continuation' | 'bad-utf8' | 'bad-close' | 'message-too-long';

export type Incoming = Received &
  (
    | /** A ping, pong or close: it may stand between the fragments of a message, and goes on at once. */
    { readonly kind: 'control'; readonly close: boolean }
    | {
        readonly kind: 'text' | 'binary';
        /** Null: binary. */
        readonly text: string | null;
        readonly bytes: number;
      }
  );

interface Received {
  /** Of the first frame. */
  readonly opcode: Opcode;
  /** All of it, without masks. */
  readonly payload: Uint8Array;
  /** Its frames, as received. */
  readonly raw: readonly Uint8Array[];
}

export interface MessageOptions {
  /** True: the bytes are a client's. */
  readonly masked: boolean;
  readonly maxBytes: number;
}

export class MessageReader {
  readonly #frames: FrameReader;
  readonly #maxBytes: number;
  #parts: Frame[] = [];
  #bytes = 0;
  #closed = false;

  constructor({ masked, maxBytes }: MessageOptions) {
    this.#frames = new FrameReader({ masked, maxPayload: maxBytes });
    this.#maxBytes = maxBytes;
  }

  /** What `bytes` made whole, and the fault behind it, if there is one. */
  push(bytes: Uint8Array): { readonly messages: readonly Incoming[]; readonly fault: MessageFault | null } {
    const messages: Incoming[] = [];
    const frames = this.#frames.push(bytes);
    if (!frames.ok) return { messages, fault: frames.error };
    for (const frame of frames.value) {
      const taken = this.#take(frame);
      if (!taken.ok) return { messages, fault: taken.error };
      if (taken.value !== null) messages.push(taken.value);
    }
    return { messages, fault: this.#frames.fault };
  }

  /** True where the bytes may end: no frame and no message is begun. */
  get atRest(): boolean {
    return this.#frames.held === 0 && this.#parts.length === 0;
  }

  #take(frame: Frame): Result<Incoming | null, MessageFault> {
    // §5.5.1: nothing follows a close.
    if (this.#closed) return err('bad-close');
    if (frame.opcode >= OPCODE.close) return this.#control(frame);
    const begins = frame.opcode !== OPCODE.continuation;
    if (begins !== (this.#parts.length === 0)) return err('bad-continuation');
    this.#parts.push(frame);
    this.#bytes += frame.payload.length;
    if (this.#bytes > this.#maxBytes) return err('message-too-long');
    if (!frame.fin) return ok(null);
    const parts = this.#parts;
    const bytes = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    const raw = parts.map(part => part.raw);
    const [first = frame, ...others] = parts;
    const payload = others.length === 0 ? first.payload : Buffer.concat(parts.map(part => part.payload));
    const { opcode } = first;
    if (opcode === OPCODE.binary) return ok({ kind: 'binary', opcode, text: null, bytes, payload, raw });
    const text = utf8(payload);
    return text === null ? err('bad-utf8') : ok({ kind: 'text', opcode, text, bytes, payload, raw });
  }

  #control({ opcode, payload, raw }: Frame): Result<Incoming, MessageFault> {
    const close = opcode === OPCODE.close;
    if (close && !isClosePayload(payload)) return err('bad-close');
    this.#closed = close;
    return ok({ kind: 'control', opcode, close, payload, raw: [raw] });
  }
}

/** RFC 6455 §7.4: a code that may be sent, and a reason in UTF-8; or nothing at all. */
function isClosePayload(payload: Uint8Array): boolean {
  if (payload.length === 0) return true;
  if (payload.length === 1) return false;
  const code = new DataView(payload.buffer, payload.byteOffset, 2).getUint16(0);
  const named = code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
  return (named || (code >= 3000 && code <= 4999)) && utf8(payload.subarray(2)) !== null;
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // The only reason that it has: the bytes are not UTF-8.
    return null;
  }
}
