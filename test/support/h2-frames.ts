/** Frames and header blocks of a client, as bytes: the writer that the tests' reader is compared with. */
import type { HeaderList } from '../../src/core/headers.js';
import { emitFrame, FLAG, PREFACE, TYPE } from '../../src/proxy/http2/frames.js';
import { HUFFMAN_CODES } from '../../src/proxy/http2/huffman.js';

export const SETTINGS: Buffer = emitFrame(TYPE.settings, 0, 0, Buffer.alloc(0));
/** What a client sends first. */
export const GREETING: Buffer = Buffer.concat([PREFACE, SETTINGS]);

/** An integer of HPACK (RFC 7541 §5.1). */
export function hpackInteger(pattern: number, prefixBits: number, value: number): Buffer {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return Buffer.of(pattern | value);
  const bytes = [pattern | mask];
  let rest = value - mask;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

export function hpackString(text: string, huffman = false): Buffer {
  const bytes = huffman ? huffmanBytes(text) : Buffer.from(text, 'latin1');
  return Buffer.concat([hpackInteger(huffman ? 0x80 : 0, 7, bytes.length), bytes]);
}

export function huffmanBytes(text: string): Buffer {
  let bits = '';
  for (const byte of Buffer.from(text, 'latin1')) {
    const { code, length } = HUFFMAN_CODES[byte] ?? { code: 0, length: 0 };
    bits += code.toString(2).padStart(length, '0');
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(bits.match(/.{8}/g)?.map(byte => Number.parseInt(byte, 2)) ?? []);
}

export interface LiteralOptions {
  readonly indexed?: boolean;
  readonly huffman?: boolean;
}

/** A header block of literals with literal names. */
export function headerBlock(
  fields: HeaderList,
  { indexed = false, huffman = false }: LiteralOptions = {},
): Buffer {
  const parts = fields.map(([name, value]) =>
    Buffer.concat([Buffer.of(indexed ? 0x40 : 0), hpackString(name, huffman), hpackString(value, huffman)]),
  );
  return Buffer.concat(parts);
}

export function headersFrame(stream: number, fields: HeaderList, end = true): Buffer {
  return emitFrame(TYPE.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), stream, headerBlock(fields));
}

export function dataFrame(stream: number, content: string | Uint8Array, end = true): Buffer {
  return emitFrame(TYPE.data, end ? FLAG.endStream : 0, stream, Buffer.from(content as string));
}

/** The fields of a request, with `more` behind and any of the pseudo-fields replaced. */
export function requestFields(
  pseudo: Partial<Record<'method' | 'scheme' | 'path' | 'authority', string>> = {},
  more: HeaderList = [],
): HeaderList {
  const { method = 'GET', scheme = 'https', path = '/p', authority = 'allowed.test' } = pseudo;
  return [[':method', method], [':scheme', scheme], [':path', path], [':authority', authority], ...more];
}

export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames at the start of `bytes`. */
export function framesOf(bytes: Buffer): SeenFrame[] {
  const frames: SeenFrame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const length = bytes.readUIntBE(at, 3);
    if (bytes.length - at < 9 + length) break;
    const payload = bytes.subarray(at + 9, at + 9 + length);
    frames.push({
      type: bytes[at + 3] ?? 0,
      flags: bytes[at + 4] ?? 0,
      stream: bytes.readUInt32BE(at + 5),
      payload,
    });
    at += 9 + length;
  }
  return frames;
}
