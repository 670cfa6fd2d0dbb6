/**
 * How long the content is (RFC 9112 §6). One length, or exactly `chunked`, or nothing; never both, never a list.
 *
 * Pure, and the same for requests and answers.
 */
import { err, ok, type Result } from '../../core/result.js';
import type { Framing } from '../exchange.js';
import type { ControlFields } from './fields.js';

export type FramingFault = 'length-and-coding' | 'bad-content-length' | 'bad-transfer-coding';

export const NO_CONTENT: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };

/** `none` where neither field is present. HTTP/1.0 knows no transfer coding: its presence there is a fault (§6.1). */
export function readFraming(control: ControlFields, version: '1.0' | '1.1'): Result<Framing, FramingFault> {
  const { contentLength, transferEncoding } = control;
  if (transferEncoding !== null) {
    if (contentLength !== null) return err('length-and-coding');
    if (version === '1.0' || transferEncoding.toLowerCase() !== 'chunked') return err('bad-transfer-coding');
    return ok(CHUNKED);
  }
  if (contentLength === null) return ok(NO_CONTENT);
  const bytes = parseContentLength(contentLength);
  return bytes === null ? err('bad-content-length') : ok({ kind: 'length', bytes });
}

/** Digits without sign, list, blank or leading zero, up to 2^53 - 1; else null. */
export function parseContentLength(text: string): number | null {
  if (text.length === 0 || text.length > 16) return null;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  if (text.length > 1 && text.charCodeAt(0) === 0x30) return null;
  return Number.isSafeInteger(value) ? value : null;
}
