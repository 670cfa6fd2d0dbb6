/**
 * What one frame says (RFC 9113 §6), apart from DATA and header blocks, which `frame-reader` puts together.
 *
 * Pure.
 */
import { ERROR, type ErrorCode, FLAG, TYPE } from './frames.js';

export type Frame =
  /**
   * Some content. `flow`: what it takes from the windows, padding included. `end`: the last of its stream. `starts`:
   * the first of its frame.
   */
  | {
      readonly type: 'data';
      readonly stream: number;
      readonly bytes: Buffer;
      readonly flow: number;
      readonly end: boolean;
      readonly starts: boolean;
    }
  /** A whole header block. `wireBytes`: of all its frames, headers included. */
  | {
      readonly type: 'headers';
      readonly stream: number;
      readonly block: Buffer;
      readonly end: boolean;
      readonly wireBytes: number;
    }
  | { readonly type: 'reset'; readonly stream: number; readonly code: number }
  | { readonly type: 'settings'; readonly values: readonly Setting[] }
  | { readonly type: 'window'; readonly stream: number; readonly increment: number }
  | { readonly type: 'ping'; readonly data: Buffer }
  | { readonly type: 'goaway'; readonly lastStream: number; readonly code: number }
  /** Of no effect: PRIORITY, acknowledgements, and types that nobody knows. */
  | { readonly type: 'idle' }
  /** A frame that is an error of its stream alone. */
  | { readonly type: 'bad'; readonly stream: number; readonly code: ErrorCode };

export type Setting = readonly [id: number, value: number];

/** An error of the connection: its code, and words for the event. */
export interface SessionFault {
  readonly code: ErrorCode;
  readonly reason: string;
}

export interface FrameHead {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

const IDLE: Frame = { type: 'idle' };

/** Reads the payload of any frame but DATA, HEADERS and CONTINUATION. */
export function parseFrame(head: FrameHead, payload: Buffer): Frame | SessionFault {
  const { type, flags, stream, length } = head;
  switch (type) {
    case TYPE.priority:
      return parsePriority(stream, payload);
    case TYPE.reset:
      if (stream === 0) return protocolFault('RST_STREAM on stream 0');
      if (length !== 4) return { code: ERROR.frameSize, reason: 'RST_STREAM of a wrong size' };
      return { type: 'reset', stream, code: payload.readUInt32BE(0) };
    case TYPE.settings:
      return parseSettings(head, payload);
    case TYPE.push:
      return protocolFault('nobody may push to us');
    case TYPE.ping:
      if (stream !== 0) return protocolFault('PING on a stream');
      if (length !== 8) return { code: ERROR.frameSize, reason: 'PING of a wrong size' };
      return (flags & FLAG.ack) !== 0 ? IDLE : { type: 'ping', data: payload };
    case TYPE.goaway:
      if (stream !== 0) return protocolFault('GOAWAY on a stream');
      if (length < 8) return { code: ERROR.frameSize, reason: 'GOAWAY of a wrong size' };
      return {
        type: 'goaway',
        lastStream: payload.readUInt32BE(0) & 0x7fffffff,
        code: payload.readUInt32BE(4),
      };
    case TYPE.window:
      return parseWindow(stream, payload);
    default:
      return IDLE; // RFC 9113 §4.1: types that nobody knows are left alone
  }
}

/** What it says is deprecated and left alone, a stream that depends on itself included (RFC 9113 §5.3.2). */
function parsePriority(stream: number, payload: Buffer): Frame | SessionFault {
  if (stream === 0) return protocolFault('PRIORITY on stream 0');
  return payload.length === 5 ? IDLE : { type: 'bad', stream, code: ERROR.frameSize };
}

function parseSettings({ flags, stream, length }: FrameHead, payload: Buffer): Frame | SessionFault {
  if (stream !== 0) return protocolFault('SETTINGS on a stream');
  const isAck = (flags & FLAG.ack) !== 0;
  if (isAck ? length !== 0 : length % 6 !== 0)
    return { code: ERROR.frameSize, reason: 'SETTINGS of a wrong size' };
  if (isAck) return IDLE;
  const values: Setting[] = [];
  for (let at = 0; at < length; at += 6)
    values.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)]);
  return { type: 'settings', values };
}

function parseWindow(stream: number, payload: Buffer): Frame | SessionFault {
  if (payload.length !== 4) return { code: ERROR.frameSize, reason: 'WINDOW_UPDATE of a wrong size' };
  const increment = payload.readUInt32BE(0) & 0x7fffffff;
  if (increment > 0) return { type: 'window', stream, increment };
  return stream === 0
    ? protocolFault('WINDOW_UPDATE of nothing')
    : { type: 'bad', stream, code: ERROR.protocol };
}

export function protocolFault(reason: string): SessionFault {
  return { code: ERROR.protocol, reason };
}
