/**
 * SETTINGS, ours and the client's (RFC 9113 §6.5). Pure but for the windows that a client's settings move.
 */
import type { SessionFault, Setting } from './frame-payload.js';
import {
  DEFAULT_WINDOW,
  ERROR,
  emitSettings,
  emitWindowUpdate,
  FRAME_PAYLOAD,
  MAX_WINDOW,
  SETTING,
} from './frames.js';
import type { Http2Limits } from './options.js';
import type { Outflow } from './outflow.js';
import { STREAM_WINDOW } from './stream.js';

/** The first frames of a connection: what we take, and how much of it at a time. */
export function emitGreeting(limits: Http2Limits, connectionWindow: number): Buffer {
  const settings = emitSettings([
    [SETTING.maxConcurrentStreams, limits.streams],
    [SETTING.initialWindowSize, STREAM_WINDOW],
    [SETTING.maxHeaderListSize, limits.headBytes],
  ]);
  return Buffer.concat([settings, emitWindowUpdate(0, connectionWindow - DEFAULT_WINDOW)]);
}

/** Applies a client's settings in their order. Those that we have no use for are let be. */
export function applySettings(values: readonly Setting[], outflow: Outflow): SessionFault | null {
  for (const [id, value] of values) {
    if (id === SETTING.enablePush && value > 1) return { code: ERROR.protocol, reason: 'a bad ENABLE_PUSH' };
    if (id === SETTING.maxFrameSize) {
      const valid = value >= FRAME_PAYLOAD && value < 1 << 24;
      if (!valid) return { code: ERROR.protocol, reason: 'a bad MAX_FRAME_SIZE' };
      outflow.setFramePayload(value);
    }
    if (id === SETTING.initialWindowSize) {
      const valid = value <= MAX_WINDOW && outflow.setInitialWindow(value);
      if (!valid) return { code: ERROR.flowControl, reason: 'a bad INITIAL_WINDOW_SIZE' };
    }
  }
  return null;
}
