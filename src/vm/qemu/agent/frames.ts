/**
 * The frames between the gateway and the guest's agent (docs/decisions/0040-guest-agent.md).
 *
 * Pure. A frame is a length (four bytes, big-endian, of all that follows), a type, a channel and a payload. Root in the
 * guest writes what it likes on this link: a frame of an unknown type or too long ends the link, and nothing that is
 * read makes this code hold more than one frame.
 */
import { err, ok, type Result } from '../../../core/result.js';

/** From the gateway. */
export const TO_GUEST = { open: 1, data: 2, end: 3, credit: 4, signal: 5, resize: 6, close: 7 } as const;

/** From the guest. */
export const FROM_GUEST = {
  hello: 16,
  started: 17,
  out: 18,
  err: 19,
  outEnd: 20,
  errEnd: 21,
  taken: 22,
  exit: 23,
  failed: 24,
} as const;

export interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
}

/** What each side may send of one stream before the other has said that it took some. */
export const WINDOW_BYTES = 256 * 1024;

/** The agent sends no more than 64 KiB of data in one frame. */
const MAX_LENGTH = 128 * 1024;
const HEAD_LEN = 9;

export function emitFrame(type: number, channel: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_LEN + payload.length);
  frame.writeUInt32BE(HEAD_LEN - 4 + payload.length, 0);
  frame[4] = type;
  frame.writeUInt32BE(channel, 5);
  frame.set(payload, HEAD_LEN);
  return frame;
}

export type FrameFault = 'bad-length' | 'bad-type';

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #parts: Buffer[] = [];
  #held = 0;

  /** The frames that `bytes` completes. After a fault the link is of no more use. */
  push(bytes: Buffer): Result<readonly Frame[], FrameFault> {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#held < HEAD_LEN) return ok(frames);
      const length = this.#joined(HEAD_LEN).readUInt32BE(0);
      if (length < HEAD_LEN - 4 || length > MAX_LENGTH) return err('bad-length');
      if (this.#held < 4 + length) return ok(frames);
      const frame = this.#take(4 + length);
      const type = frame[4] ?? 0;
      if (type < FROM_GUEST.hello || type > FROM_GUEST.failed) return err('bad-type');
      frames.push({ type, channel: frame.readUInt32BE(5), payload: frame.subarray(HEAD_LEN) });
    }
  }

  /** The first bytes in one piece, at least `least` of them. */
  #joined(least: number): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && first.length >= least) return first;
    const whole = Buffer.concat(this.#parts);
    this.#parts = [whole];
    return whole;
  }

  #take(length: number): Buffer {
    const first = this.#joined(length);
    this.#held -= length;
    if (first.length === length) this.#parts.shift();
    else this.#parts[0] = first.subarray(length);
    return first.subarray(0, length);
  }
}

/** A list of byte strings, each after its length. */
export function emitList(items: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    items.flatMap(item => {
      const bytes = typeof item === 'string' ? Buffer.from(item) : item;
      return [uint32(bytes.length), bytes];
    }),
  );
}

/** Null for a list that is cut short. */
export function parseList(bytes: Uint8Array): readonly Buffer[] | null {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items: Buffer[] = [];
  for (let at = 0; at < all.length; ) {
    if (at + 4 > all.length) return null;
    const length = all.readUInt32BE(at);
    if (at + 4 + length > all.length) return null;
    items.push(all.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return items;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
