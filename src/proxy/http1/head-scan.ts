/**
 * Where a head ends (RFC 9112 §2.1), found without reading any byte twice, however slowly it arrives.
 *
 * Pure. What can never become a head is told as soon as it is seen, not when the sender gives up.
 */
import { err, ok, type Result } from '../../core/result.js';
import { tokenEnd } from './syntax.js';

export interface HeadLimits {
  /** Bytes of the first line, without its CRLF. */
  readonly lineBytes: number;
  /** Bytes of the whole head. */
  readonly headBytes: number;
  readonly fields: number;
}

export const HEAD_LIMITS: HeadLimits = { lineBytes: 8 * 1024, headBytes: 64 * 1024, fields: 200 };

export type HeadScanFault = 'bad-line-end' | 'bad-request-line' | 'target-too-long' | 'head-too-large';

/** Bytes: text would be made bytes for each search. */
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const CR = 0x0d;
const LF = 0x0a;

/**
 * The length of the head at the start of `bytes`, its empty line included, or `incomplete`. The first `scanned` bytes
 * have been scanned by an earlier call and were incomplete.
 */
export function scanHead(
  bytes: Buffer,
  scanned: number,
  limits: HeadLimits,
): Result<number | 'incomplete', HeadScanFault> {
  const found = bytes.indexOf(HEAD_END, Math.max(0, scanned - 3));
  const length = found < 0 ? bytes.length : found + 4;
  if (scanned <= limits.lineBytes && length > limits.lineBytes && lineLength(bytes) > limits.lineBytes) {
    return err('target-too-long');
  }
  if (length > limits.headBytes) return err('head-too-large');
  if (found >= 0) return ok(length);
  if (scanned === 0 && !beginsWithToken(bytes)) return err('bad-request-line');
  return lineEndsAreWhole(bytes, Math.max(0, scanned - 1)) ? ok('incomplete') : err('bad-line-end');
}

function lineLength(bytes: Buffer): number {
  const lf = bytes.indexOf(LF);
  const end = lf < 0 ? bytes.length : lf;
  return bytes[end - 1] === CR ? end - 1 : end;
}

/** False at a CR without its LF or an LF without its CR: no head can go on with these bytes. */
function lineEndsAreWhole(bytes: Buffer, from: number): boolean {
  for (let i = from; i < bytes.length; i++) {
    const code = bytes[i];
    if (code === LF && bytes[i - 1] !== CR) return false;
    if (code === CR && i + 1 < bytes.length && bytes[i + 1] !== LF) return false;
  }
  return true;
}

function beginsWithToken(bytes: Buffer): boolean {
  const [first] = bytes;
  return first === undefined || tokenEnd(String.fromCharCode(first), 0) === 1;
}
