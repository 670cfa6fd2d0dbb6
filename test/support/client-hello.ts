/** ClientHellos as bytes: well-formed by default, and with any part replaced by something that is not. */

export interface HelloParts {
  /** server_name entries; absent: no extension. Each character is one byte. */
  readonly serverNames?: readonly string[];
  /** The whole value of the server_name extension, in place of `serverNames`. */
  readonly serverNameBytes?: Uint8Array;
  readonly alpn?: readonly string[];
  /** supported_versions; absent: no extension, the field says TLS 1.2. */
  readonly versions?: readonly number[];
  readonly legacyVersion?: number;
  readonly more?: readonly (readonly [type: number, value: Uint8Array])[];
  /** Bytes put before the extensions as they are: whole extensions, or not. */
  readonly rawExtensions?: Uint8Array;
}

export const bytes = (...parts: (number | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map(part => (typeof part === 'number' ? Buffer.of(part) : part)));
export const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);
export const vector8 = (value: Uint8Array): Buffer => bytes(value.length, value);
export const vector16 = (value: Uint8Array): Buffer => bytes(u16(value.length), value);

/** ECDHE-ECDSA with AES-GCM: what a server with a P-256 leaf can agree on under TLS 1.2. */
const SUITES = Buffer.from('c02bc02c', 'hex');
const GROUPS = Buffer.from('0017', 'hex');
const SIGNATURES = Buffer.from('0403', 'hex');

/** The body of the handshake message. */
export function helloBody(parts: HelloParts): Buffer {
  const { legacyVersion = 0x0303 } = parts;
  return bytes(
    u16(legacyVersion),
    Buffer.alloc(32, 7),
    vector8(Buffer.alloc(0)),
    vector16(SUITES),
    vector8(Buffer.of(0)),
    vector16(bytes(...extensions(parts))),
  );
}

function* extensions(parts: HelloParts): Generator<Buffer> {
  const one = (type: number, value: Uint8Array): Buffer => bytes(u16(type), vector16(value));
  if (parts.rawExtensions !== undefined) yield Buffer.from(parts.rawExtensions);
  if (parts.serverNameBytes !== undefined) yield one(0, parts.serverNameBytes);
  else if (parts.serverNames !== undefined) yield one(0, serverNameList(parts.serverNames));
  if (parts.alpn !== undefined) {
    yield one(16, vector16(bytes(...parts.alpn.map(name => vector8(Buffer.from(name, 'latin1'))))));
  }
  yield one(10, vector16(GROUPS));
  yield one(11, vector8(Buffer.of(0)));
  yield one(13, vector16(SIGNATURES));
  if (parts.versions !== undefined) yield one(43, vector8(bytes(...parts.versions.map(u16))));
  for (const [type, value] of parts.more ?? []) yield one(type, value);
}

export function serverNameList(names: readonly string[]): Buffer {
  return vector16(bytes(...names.map(name => bytes(0, vector16(Buffer.from(name, 'latin1'))))));
}

/** A handshake message: type and 24-bit length before the body. */
export function handshakeMessage(body: Uint8Array, type = 1): Buffer {
  return bytes(type, body.length >> 16, u16(body.length & 0xffff), body);
}

/** `message` in records of `size` bytes each. */
export function records(message: Uint8Array, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(bytes(Buffer.of(22, 3, 1), vector16(message.subarray(at, at + size))));
  }
  return Buffer.concat(parts);
}

/** A ClientHello as it goes on the wire. */
export const hello = (parts: HelloParts): Buffer => records(handshakeMessage(helloBody(parts)));
