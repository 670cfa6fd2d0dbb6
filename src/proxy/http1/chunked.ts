/**
 * The chunked transfer coding (RFC 9112 §7.1), read strictly: `1*HEXDIG [extensions] CRLF data CRLF`, a last chunk,
 * trailers, and no other line end, blank or sign. Extensions are checked, bounded and forgotten.
 *
 * Pure, sans-io.
 */
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { type BodyDecoder, type BodyFault, type Decoded, NO_BYTES } from './body.js';
import { tokenEnd, valueEnd } from './syntax.js';
import { hexValue } from './target.js';
import { readTrailers } from './trailers.js';

/** Bytes of one size line with its extensions. */
const LINE_BYTES = 256;
/** Bytes of extensions that the content does not outweigh: more is somebody's attack, or at best no content. */
const EXTENSION_SLACK = 16 * 1024;
const TRAILER_BYTES = 16 * 1024;
const TRAILER_FIELDS = 64;

const CR = 0x0d;
const LF = 0x0a;

export class ChunkedDecoder implements BodyDecoder {
  readonly endsWithInput = false;
  readonly #limit: number;
  #state: 'size' | 'data' | 'data-end' | 'trailer' | 'done' = 'size';
  /** A line whose end has not come yet. */
  #line = '';
  #trailerText = '';
  #trailers: HeaderList = NO_HEADERS;
  /** Bytes of the current chunk that are still to come. */
  #remaining = 0;
  #total = 0;
  #excess = 0;

  /** `limit`: the most content that is taken, in bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get trailers(): HeaderList {
    return this.#trailers;
  }

  push(bytes: Buffer): Result<Decoded, BodyFault> {
    const pieces: Buffer[] = [];
    let at = 0;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        at = this.#takeData(bytes, at, pieces);
        continue;
      }
      const next = this.#state === 'data-end' ? this.#takeDataEnd(bytes, at) : this.#takeLine(bytes, at);
      if (!next.ok) return next;
      at = next.value;
    }
    const done = this.#state === 'done';
    return ok({ pieces, done, rest: at < bytes.length ? bytes.subarray(at) : NO_BYTES });
  }

  #takeData(bytes: Buffer, at: number, pieces: Buffer[]): number {
    const end = Math.min(at + this.#remaining, bytes.length);
    pieces.push(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    this.#remaining -= end - at;
    if (this.#remaining === 0) {
      this.#state = 'data-end';
      this.#remaining = 2;
    }
    return end;
  }

  /** `#remaining` counts down CR and LF. */
  #takeDataEnd(bytes: Buffer, at: number): Result<number, BodyFault> {
    if (bytes[at] !== (this.#remaining === 2 ? CR : LF)) return err('bad-chunk-end');
    this.#remaining -= 1;
    if (this.#remaining === 0) this.#state = 'size';
    return ok(at + 1);
  }

  #takeLine(bytes: Buffer, at: number): Result<number, BodyFault> {
    const inTrailer = this.#state === 'trailer';
    const limit = inTrailer ? TRAILER_BYTES : LINE_BYTES;
    const tooLong = inTrailer ? 'head-too-large' : 'bad-chunk-extension';
    const lf = bytes.indexOf(LF, at);
    const end = lf < 0 ? bytes.length : lf + 1;
    if (this.#line.length + end - at > limit) return err(tooLong);
    this.#line += bytes.toString('latin1', at, end);
    if (lf < 0) return ok(end);
    const line = this.#line;
    this.#line = '';
    if (line.charCodeAt(line.length - 2) !== CR) return err('bad-line-end');
    const read = inTrailer ? this.#readTrailerLine(line) : this.#readSizeLine(line.slice(0, -2));
    return read.ok ? ok(end) : read;
  }

  #readSizeLine(line: string): Result<null, BodyFault> {
    const parsed = parseSizeLine(line);
    if (!parsed.ok) return parsed;
    const { size, extensionBytes } = parsed.value;
    this.#excess = Math.max(0, this.#excess + extensionBytes - size);
    if (this.#excess > EXTENSION_SLACK) return err('bad-chunk-extension');
    this.#total += size;
    if (this.#total > this.#limit) return err('content-too-large');
    this.#remaining = size;
    this.#state = size === 0 ? 'trailer' : 'data';
    return ok(null);
  }

  #readTrailerLine(line: string): Result<null, BodyFault> {
    this.#trailerText += line;
    if (this.#trailerText.length > TRAILER_BYTES) return err('head-too-large');
    if (line !== '\r\n') return ok(null);
    const trailers = readTrailers(this.#trailerText, TRAILER_FIELDS);
    if (!trailers.ok) return trailers;
    this.#trailers = trailers.value;
    this.#state = 'done';
    return ok(null);
  }
}

/** Up to 16 digits, so that leading zeros are bounded; up to 2^53 - 1 bytes. */
function parseSizeLine(
  line: string,
): Result<{ size: number; extensionBytes: number }, 'bad-chunk-size' | 'bad-chunk-extension'> {
  let size = 0;
  let at = 0;
  for (; at < line.length; at++) {
    const digit = hexValue(line.charCodeAt(at));
    if (digit < 0) break;
    size = size * 16 + digit;
  }
  if (at === 0 || at > 16 || !Number.isSafeInteger(size)) return err('bad-chunk-size');
  if (at === line.length) return ok({ size, extensionBytes: 0 });
  if (line[at] !== ';') return err('bad-chunk-size');
  return areExtensions(line, at)
    ? ok({ size, extensionBytes: line.length - at })
    : err('bad-chunk-extension');
}

/** `*( ";" token [ "=" ( token / quoted-string ) ] )`, without the blanks that §7.1.1 calls bad. */
function areExtensions(line: string, from: number): boolean {
  let at = from;
  while (at < line.length) {
    if (line[at] !== ';') return false;
    const nameEnd = tokenEnd(line, at + 1);
    if (nameEnd === at + 1) return false;
    at = nameEnd;
    if (line[at] !== '=') continue;
    const end = line[at + 1] === '"' ? quotedEnd(line, at + 1) : tokenEnd(line, at + 1);
    if (end <= at + 1) return false;
    at = end;
  }
  return true;
}

/** The index after the closing quote of the quoted-string at `at`, or -1. */
function quotedEnd(line: string, at: number): number {
  if (valueEnd(line, at) !== line.length) return -1;
  for (let i = at + 1; i < line.length; i++) {
    if (line[i] === '"') return i + 1;
    if (line[i] === '\\') i++;
  }
  return -1;
}
