/**
 * WebSocket frames (RFC 6455 §5): one exact reader and a writer.
 *
 * Pure. No extension is ever negotiated where frames are read, so that a reserved bit is a fault; lengths are minimal,
 * control frames short and whole, and each side masks exactly as its role says.
 */
import { err, ok, type Result } from '../../core/result.js';

export type FrameFault =
  | 'reserved-bits'
  | 'reserved-opcode'
  | 'fragmented-control'
  | 'long-control'
  | 'mask-missing' // a client's frame without a mask (§5.1)
  | 'mask-unexpected' // a server's frame with one
  | 'length-not-minimal'
  | 'frame-too-long';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];

export interface Frame {
  readonly fin: boolean;
  readonly opcode: Opcode;
  /** Without its mask. */
  readonly payload: Uint8Array;
  /** As it was received, header and mask included. */
  readonly raw: Uint8Array;
}

export interface FrameOptions {
  /** True: the bytes are a client's. */
  readonly masked: boolean;
  readonly maxPayload: number;
}

const OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODE));
const MAX_CONTROL = 125;

/** Reads frames out of bytes as they come; after a fault nothing more can be read. */
export class FrameReader {
  readonly #options: FrameOptions;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** The frame that is not whole has at least so many bytes: no use in looking before they are there. */
  #wanted = 1;
  #fault: FrameFault | null = null;

  constructor(options: FrameOptions) {
    this.#options = options;
  }

  /** Bytes of a frame that is not whole yet. */
  get held(): number {
    return this.#heldBytes;
  }

  /** The frames that `bytes` made whole. A fault is told once all that came before it has been given. */
  push(bytes: Uint8Array): Result<readonly Frame[], FrameFault> {
    if (this.#fault !== null) return err(this.#fault);
    if (this.#heldBytes + bytes.length < this.#wanted) return this.#hold(bytes);
    const all = this.#heldBytes === 0 ? bytes : Buffer.concat([...this.#held, bytes]);
    this.#held = [];
    this.#heldBytes = 0;
    const frames: Frame[] = [];
    for (let at = 0; ; ) {
      const frame = readFrame(all.subarray(at), this.#options);
      if (!frame.ok) {
        this.#fault = frame.error;
        // Whoever has frames deals with them first, and hears of the fault with the next bytes, or the end.
        return frames.length > 0 ? ok(frames) : frame;
      }
      if (typeof frame.value === 'number') {
        this.#wanted = frame.value;
        this.#hold(all.subarray(at));
        return ok(frames);
      }
      frames.push(frame.value);
      at += frame.value.raw.length;
    }
  }

  #hold(bytes: Uint8Array): Result<readonly Frame[], FrameFault> {
    // A copy: the caller may use its buffer again.
    if (bytes.length > 0) this.#held.push(Uint8Array.prototype.slice.call(bytes));
    this.#heldBytes += bytes.length;
    return ok([]);
  }

  /** The fault that was found behind the frames last given. */
  get fault(): FrameFault | null {
    return this.#fault;
  }
}

/** The frame at the start of `bytes`; a number: it is not whole, and has at least so many bytes. */
function readFrame(
  bytes: Uint8Array,
  { masked, maxPayload }: FrameOptions,
): Result<Frame | number, FrameFault> {
  const [first, second] = bytes;
  if (first === undefined) return ok(1);
  if ((first & 0x70) !== 0) return err('reserved-bits');
  const opcode = first & 0x0f;
  if (!isOpcode(opcode)) return err('reserved-opcode');
  const fin = (first & 0x80) !== 0;
  if (opcode >= OPCODE.close && !fin) return err('fragmented-control');
  if (second === undefined) return ok(2);
  if (((second & 0x80) !== 0) !== masked) return err(masked ? 'mask-missing' : 'mask-unexpected');
  // Before the long forms of the length are read: the fault is the same however few of its bytes are here.
  if (opcode >= OPCODE.close && (second & 0x7f) > MAX_CONTROL) return err('long-control');
  const length = readLength(bytes, second & 0x7f);
  if (!length.ok) return length;
  if (typeof length.value === 'number') return ok(length.value);
  const { payloadBytes, end } = length.value;
  if (payloadBytes > maxPayload) return err('frame-too-long');
  const from = end + (masked ? 4 : 0);
  const to = from + payloadBytes;
  if (bytes.length < to) return ok(to);
  const raw = Uint8Array.prototype.slice.call(bytes, 0, to);
  const payload = masked ? unmasked(raw, end, from) : raw.subarray(from);
  return ok({ fin, opcode, payload, raw });
}

function isOpcode(opcode: number): opcode is Opcode {
  return OPCODES.has(opcode);
}

/** RFC 6455 §5.2: "the minimal number of bytes MUST be used"; the length of 64 bits has its first bit zero. */
function readLength(
  bytes: Uint8Array,
  short: number,
): Result<{ readonly payloadBytes: number; readonly end: number } | number, FrameFault> {
  if (short < 126) return ok({ payloadBytes: short, end: 2 });
  const end = short === 126 ? 4 : 10;
  if (bytes.length < end) return ok(end);
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  if (short === 126) {
    const payloadBytes = view.getUint16(2);
    return payloadBytes < 126 ? err('length-not-minimal') : ok({ payloadBytes, end });
  }
  const wide = view.getBigUint64(2);
  if (wide < 65_536n) return err('length-not-minimal');
  return wide > BigInt(Number.MAX_SAFE_INTEGER)
    ? err('frame-too-long')
    : ok({ payloadBytes: Number(wide), end });
}

function unmasked(raw: Uint8Array, maskAt: number, from: number): Uint8Array {
  // Not `raw.slice`: a Buffer's is a view, and `raw` would lose its mask.
  const payload = Uint8Array.prototype.slice.call(raw, from);
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (raw[maskAt + (i & 3)] ?? 0);
  return payload;
}

export interface OutgoingFrame {
  readonly fin: boolean;
  readonly opcode: Opcode;
  readonly payload: Uint8Array;
}

/** The bytes of one frame. `mask`: four bytes, as a client sends it; null: as a server does. */
export function emitFrame({ fin, opcode, payload }: OutgoingFrame, mask: Uint8Array | null): Uint8Array {
  const { length } = payload;
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const from = 2 + lengthBytes + (mask === null ? 0 : 4);
  const bytes = new Uint8Array(from + length);
  const view = new DataView(bytes.buffer);
  bytes[0] = (fin ? 0x80 : 0) | opcode;
  bytes[1] = (mask === null ? 0 : 0x80) | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, length);
  if (lengthBytes === 8) view.setBigUint64(2, BigInt(length));
  bytes.set(payload, from);
  if (mask !== null) {
    bytes.set(mask.subarray(0, 4), from - 4);
    for (let i = 0; i < length; i++) bytes[from + i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
  }
  return bytes;
}

/** The payload of a close frame (§5.5.1): a code, and a sentence of at most 123 bytes. */
export function closePayload(code: number, sentence = ''): Uint8Array {
  const text = new TextEncoder().encode(sentence).subarray(0, MAX_CONTROL - 2);
  const payload = new Uint8Array(2 + text.length);
  new DataView(payload.buffer).setUint16(0, code);
  payload.set(text, 2);
  return payload;
}
