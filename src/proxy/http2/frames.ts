/**
 * Frames of HTTP/2 (RFC 9113 §4.1, §6, §7): their names, and how those that a server sends are written.
 *
 * Pure.
 */

export const FRAME_HEADER = 9;
/** The largest payload that we take, and send unless told otherwise: the default of SETTINGS_MAX_FRAME_SIZE. */
export const FRAME_PAYLOAD = 16_384;
/** The window of a connection and, until SETTINGS say otherwise, of a stream (§6.9.2). */
export const DEFAULT_WINDOW = 65_535;
export const MAX_WINDOW = 0x7fffffff;

export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** RFC 9113 §7. */
export const ERROR = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export type ErrorCode = (typeof ERROR)[keyof typeof ERROR];

/** Writes the 9 bytes before a payload of `length` bytes into `out` at `at`. */
export function writeFrameHeader(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  out.writeUIntBE(length, at, 3);
  out[at + 3] = type;
  out[at + 4] = flags;
  out.writeUInt32BE(stream, at + 5);
}

export function emitFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER + payload.length);
  writeFrameHeader(frame, 0, payload.length, type, flags, stream);
  frame.set(payload, FRAME_HEADER);
  return frame;
}

export function emitSettings(values: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(values.length * 6);
  for (const [i, [id, value]] of values.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return emitFrame(TYPE.settings, 0, 0, payload);
}

export const SETTINGS_ACK: Buffer = emitFrame(TYPE.settings, FLAG.ack, 0, Buffer.alloc(0));

export function emitPong(data: Uint8Array): Buffer {
  return emitFrame(TYPE.ping, FLAG.ack, 0, data);
}

export function emitReset(stream: number, code: ErrorCode): Buffer {
  return emitFrame(TYPE.reset, 0, stream, uint32(code));
}

export function emitWindowUpdate(stream: number, increment: number): Buffer {
  return emitFrame(TYPE.window, 0, stream, uint32(increment));
}

export function emitGoaway(lastStream: number, code: ErrorCode): Buffer {
  return emitFrame(TYPE.goaway, 0, 0, Buffer.concat([uint32(lastStream), uint32(code)]));
}

/** The frames of a header block that stands in `reserved` behind `FRAME_HEADER` free bytes. */
export function emitHeaders(stream: number, reserved: Buffer, endStream: boolean): Buffer {
  const length = reserved.length - FRAME_HEADER;
  const end = endStream ? FLAG.endStream : 0;
  const single = length <= FRAME_PAYLOAD;
  const first = Math.min(length, FRAME_PAYLOAD);
  writeFrameHeader(reserved, 0, first, TYPE.headers, end | (single ? FLAG.endHeaders : 0), stream);
  if (single) return reserved;
  const frames = [reserved.subarray(0, FRAME_HEADER + first)];
  for (let at = FRAME_HEADER + first; at < reserved.length; at += FRAME_PAYLOAD) {
    const last = at + FRAME_PAYLOAD >= reserved.length;
    const part = reserved.subarray(at, at + FRAME_PAYLOAD);
    frames.push(emitFrame(TYPE.continuation, last ? FLAG.endHeaders : 0, stream, part));
  }
  return Buffer.concat(frames);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
