/**
 * The reader of a peer's frames (RFC 9113 §3.4, §4, §6): bytes in, frames out, header blocks put together.
 *
 * Pure, sans-io, and strict: what the RFC calls a connection error ends the reading. DATA is given on as it arrives;
 * everything else is held until it is whole, and a header block never longer than `BLOCK_BYTES`.
 */
import { Unread } from '../http1/unread.js';
import {
  type Frame,
  type FrameHead,
  parseFrame,
  protocolFault as protocol,
  type SessionFault,
} from './frame-payload.js';
import { ERROR, FLAG, FRAME_HEADER, FRAME_PAYLOAD, PREFACE, TYPE } from './frames.js';

/** The most bytes of one header block, compressed. */
export const BLOCK_BYTES = 65_536;
/** The most frames that one header block may be cut into: empty ones would cost work and carry nothing. */
export const BLOCK_FRAMES = 32;

export interface FrameBatch {
  readonly frames: readonly Frame[];
  /** After the frames; nothing may be pushed any more. */
  readonly fault: SessionFault | null;
}

interface OpenData {
  readonly stream: number;
  readonly end: boolean;
  left: number;
  padding: number;
  /** Bytes of the frame that are not content and not yet counted. */
  overhead: number;
  /** Nothing of the frame was given on yet. */
  starts: boolean;
  /** All of the content was given on; what is left of the frame is padding. */
  told: boolean;
}

interface OpenBlock {
  readonly stream: number;
  readonly end: boolean;
  readonly parts: Buffer[];
  bytes: number;
  wireBytes: number;
}

export class FrameReader {
  readonly #unread = new Unread();
  #prefaced: boolean;
  #settled = false;
  #data: OpenData | null = null;
  #block: OpenBlock | null = null;
  #frames: Frame[] = [];

  /** `client`: reads what a server sends, which begins without the preface. */
  constructor(side: 'server' | 'client' = 'server') {
    this.#prefaced = side === 'client';
  }

  /** True while something other than content has begun and is not whole: the client's greeting, a head, a frame. */
  get midHead(): boolean {
    return !this.#settled || this.#block !== null || (this.#data === null && this.#unread.length > 0);
  }

  push(chunk: Buffer): FrameBatch {
    this.#frames = [];
    this.#unread.append(chunk);
    const fault = this.#prefaced ? this.#readFrames() : this.#readPreface();
    return { frames: this.#frames, fault };
  }

  #readPreface(): SessionFault | null {
    const bytes = this.#unread.bytes;
    const length = Math.min(bytes.length, PREFACE.length);
    if (bytes.compare(PREFACE, 0, length, 0, length) !== 0)
      return protocol('the client does not speak HTTP/2');
    if (length < PREFACE.length) return null;
    this.#prefaced = true;
    this.#unread.skip(length);
    return this.#readFrames();
  }

  #readFrames(): SessionFault | null {
    for (;;) {
      if (this.#data !== null && !this.#readData(this.#data)) return null;
      const bytes = this.#unread.bytes;
      if (bytes.length < FRAME_HEADER) return null;
      const head: FrameHead = {
        length: bytes.readUIntBE(0, 3),
        type: bytes[3] ?? 0,
        flags: bytes[4] ?? 0,
        stream: bytes.readUInt32BE(5) & 0x7fffffff,
      };
      const fault = this.#checkHead(head);
      if (fault !== null) return fault;
      const read = head.type === TYPE.data ? this.#openData(head) : this.#readWhole(head);
      if (read === 'incomplete') return null;
      if (read !== null) return read;
    }
  }

  #checkHead({ length, type, flags, stream }: FrameHead): SessionFault | null {
    if (length > FRAME_PAYLOAD)
      return { code: ERROR.frameSize, reason: 'a frame is larger than was allowed' };
    if (!this.#settled && (type !== TYPE.settings || (flags & FLAG.ack) !== 0)) {
      return protocol('the first frame is not SETTINGS');
    }
    this.#settled = true;
    const block = this.#block;
    if (block === null)
      return type === TYPE.continuation ? protocol('CONTINUATION without a header block') : null;
    if (type === TYPE.continuation && stream === block.stream) return null;
    return protocol('a header block is interrupted');
  }

  /** Gives on what has come of the open DATA frame; false when it is not whole. */
  #readData(data: OpenData): boolean {
    if (!data.told && !this.#tellContent(data)) return false;
    const padding = Math.min(data.padding, this.#unread.length);
    this.#unread.skip(padding);
    data.padding -= padding;
    if (data.padding > 0) return false;
    this.#data = null;
    return true;
  }

  #tellContent(data: OpenData): boolean {
    const available = this.#unread.bytes;
    const bytes = available.subarray(0, Math.min(data.left, available.length));
    this.#unread.skip(bytes.length);
    data.left -= bytes.length;
    data.told = data.left === 0;
    if (bytes.length === 0 && !data.told) return false;
    const { stream, overhead, starts } = data;
    const end = data.end && data.told;
    this.#frames.push({ type: 'data', stream, bytes, flow: bytes.length + overhead, end, starts });
    data.overhead = 0;
    data.starts = false;
    return data.told;
  }

  #openData({ length, flags, stream }: FrameHead): SessionFault | 'incomplete' | null {
    if (stream === 0) return protocol('DATA on stream 0');
    const padded = (flags & FLAG.padded) !== 0;
    const bytes = this.#unread.bytes;
    if (padded && length === 0) return { code: ERROR.frameSize, reason: 'DATA without its pad length' };
    if (padded && bytes.length === FRAME_HEADER) return 'incomplete';
    const padding = padded ? (bytes[FRAME_HEADER] ?? 0) : 0;
    const overhead = padded ? 1 + padding : 0;
    if (overhead > length) return protocol('DATA with more padding than payload');
    this.#unread.skip(FRAME_HEADER + (padded ? 1 : 0));
    const end = (flags & FLAG.endStream) !== 0;
    this.#data = { stream, end, left: length - overhead, padding, overhead, starts: true, told: false };
    return null;
  }

  #readWhole(head: FrameHead): SessionFault | 'incomplete' | null {
    const bytes = this.#unread.bytes;
    const size = FRAME_HEADER + head.length;
    if (bytes.length < size) return 'incomplete';
    this.#unread.skip(size);
    const payload = bytes.subarray(FRAME_HEADER, size);
    if (head.type === TYPE.headers) return this.#openBlock(head, payload);
    if (head.type === TYPE.continuation)
      return this.#addToBlock(payload, (head.flags & FLAG.endHeaders) !== 0);
    const frame = parseFrame(head, payload);
    if ('reason' in frame) return frame;
    this.#frames.push(frame);
    return null;
  }

  #openBlock({ flags, stream }: FrameHead, payload: Buffer): SessionFault | null {
    if (stream === 0) return protocol('HEADERS on stream 0');
    const padded = (flags & FLAG.padded) !== 0 ? 1 : 0;
    const padding = padded === 1 ? (payload[0] ?? 0) : 0;
    const priority = (flags & FLAG.priority) !== 0 ? 5 : 0;
    const start = padded + priority;
    // Too small for the fields that its flags announce (RFC 9113 §4.2).
    if (payload.length < start) return { code: ERROR.frameSize, reason: 'HEADERS without its first fields' };
    const end = payload.length - padding;
    if (start > end) return protocol('HEADERS with more padding than payload');
    const endStream = (flags & FLAG.endStream) !== 0;
    this.#block = { stream, end: endStream, parts: [], bytes: 0, wireBytes: start + padding };
    return this.#addToBlock(payload.subarray(start, end), (flags & FLAG.endHeaders) !== 0);
  }

  #addToBlock(part: Buffer, last: boolean): SessionFault | null {
    const block = this.#block;
    if (block === null) return protocol('CONTINUATION without a header block');
    block.parts.push(part);
    block.bytes += part.length;
    block.wireBytes += FRAME_HEADER + part.length;
    if (block.bytes > BLOCK_BYTES || block.parts.length > BLOCK_FRAMES) {
      return { code: ERROR.enhanceYourCalm, reason: 'a header block is too long' };
    }
    if (!last) return null;
    this.#block = null;
    const { stream, end, wireBytes } = block;
    const whole = block.parts.length === 1 ? part : Buffer.concat(block.parts);
    this.#frames.push({ type: 'headers', stream, block: whole, end, wireBytes });
    return null;
  }
}
