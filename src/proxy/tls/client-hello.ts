/**
 * The ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2): which name, which protocols, which versions.
 *
 * Pure. Only what has one reading is accepted: every vector is used up, no extension stands twice, and the
 * server_name is one canonical DNS name (RFC 6066 §3). What OpenSSL would read differently never reaches it.
 */
import { type Hostname, parseHostname } from '../../core/host.js';
import { err, ok, type Result } from '../../core/result.js';
import { Cursor } from './cursor.js';

export interface ClientHello {
  /** The one server_name, canonical; null when the extension is absent. */
  readonly serverName: Hostname | null;
  /** ALPN identifiers as offered, one character a byte (RFC 7301); empty when the extension is absent. */
  readonly alpn: readonly string[];
  /** Offered versions as on the wire: 0x0304 is TLS 1.3. Values that nobody knows (GREASE) are kept. */
  readonly versions: readonly number[];
  /** An encrypted ClientHello or ESNI was offered. It is ignored: the outer server_name decides. */
  readonly encryptedHello: boolean;
}

export type HelloFault =
  | 'not-tls' // the bytes are not handshake records of TLS
  | 'sslv2' // an SSL 2.0 ClientHello (RFC 6176)
  | 'too-large' // more than `HELLO_LIMIT` bytes
  | 'malformed' // a length, an order or a duplicate that the RFCs forbid
  | 'bad-server-name' // the server_name is not one DNS name in its one form
  | 'old-version'; // nothing above TLS 1.1 is offered

const LEGACY_TLS12 = 0x0303;
const TLS13 = 0x0304;

const EXTENSION = {
  serverName: 0x0000,
  alpn: 0x0010,
  supportedVersions: 0x002b,
  encryptedClientHello: 0xfe0d,
  esni: 0xffce,
} as const;

/** Reads the body of the handshake message, without its 4-byte header. */
export function parseClientHello(body: Uint8Array): Result<ClientHello, HelloFault> {
  const cursor = new Cursor(body);
  const legacyVersion = cursor.uint(2);
  const random = cursor.take(32);
  const sessionId = cursor.vector(1);
  const suites = cursor.vector(2);
  const compression = cursor.vector(1);
  if (legacyVersion === null || random === null || sessionId === null) return err('malformed');
  if (suites === null || compression === null) return err('malformed');
  if (sessionId.length > 32 || suites.length < 2 || suites.length % 2 !== 0) return err('malformed');
  if (compression.length === 0) return err('malformed');

  const extensions = parseExtensions(cursor);
  if (!extensions.ok) return extensions;
  return readExtensions(legacyVersion, extensions.value);
}

type Extensions = ReadonlyMap<number, Uint8Array>;

function parseExtensions(cursor: Cursor): Result<Extensions, 'malformed'> {
  const extensions = new Map<number, Uint8Array>();
  if (cursor.done) return ok(extensions); // before TLS 1.2 a hello could end here
  const block = cursor.vector(2);
  if (block === null || !cursor.done) return err('malformed');
  const list = new Cursor(block);
  while (!list.done) {
    const type = list.uint(2);
    const value = list.vector(2);
    if (type === null || value === null || extensions.has(type)) return err('malformed');
    extensions.set(type, value);
  }
  return ok(extensions);
}

function readExtensions(legacyVersion: number, extensions: Extensions): Result<ClientHello, HelloFault> {
  const versions = readVersions(legacyVersion, extensions.get(EXTENSION.supportedVersions));
  if (versions === null) return err('malformed');
  if (!versions.some(version => version === LEGACY_TLS12 || version === TLS13)) return err('old-version');
  const alpn = readAlpn(extensions.get(EXTENSION.alpn));
  if (alpn === null) return err('malformed');
  const serverName = readServerName(extensions.get(EXTENSION.serverName));
  if (!serverName.ok) return serverName;
  return ok({
    serverName: serverName.value,
    alpn,
    versions,
    encryptedHello: extensions.has(EXTENSION.encryptedClientHello) || extensions.has(EXTENSION.esni),
  });
}

function readVersions(legacyVersion: number, extension: Uint8Array | undefined): number[] | null {
  // Without the extension the field is the highest version; a server at 1.2 answers a higher one with 1.2.
  if (extension === undefined) return [Math.min(legacyVersion, LEGACY_TLS12)];
  const outer = new Cursor(extension);
  const list = outer.vector(1);
  if (list === null || !outer.done || list.length < 2 || list.length % 2 !== 0) return null;
  const versions: number[] = [];
  for (let i = 0; i < list.length; i += 2) versions.push((list[i] ?? 0) * 256 + (list[i + 1] ?? 0));
  return versions;
}

function readAlpn(extension: Uint8Array | undefined): string[] | null {
  if (extension === undefined) return [];
  const outer = new Cursor(extension);
  const block = outer.vector(2);
  if (block === null || !outer.done || block.length === 0) return null;
  const list = new Cursor(block);
  const names: string[] = [];
  while (!list.done) {
    const name = list.vector(1);
    if (name === null || name.length === 0) return null;
    names.push(Buffer.from(name).toString('latin1'));
  }
  return names;
}

const HOST_NAME = 0;

/** One entry of type host_name, no trailing dot, no address (RFC 6066 §3). */
function readServerName(
  extension: Uint8Array | undefined,
): Result<Hostname | null, 'malformed' | 'bad-server-name'> {
  if (extension === undefined) return ok(null);
  const outer = new Cursor(extension);
  const block = outer.vector(2);
  if (block === null || !outer.done) return err('malformed');
  const list = new Cursor(block);
  const type = list.uint(1);
  const bytes = list.vector(2);
  if (type !== HOST_NAME || bytes === null || !list.done) return err('malformed');

  const text = Buffer.from(bytes).toString('latin1');
  const name = parseHostname(text);
  if (!name.ok || text.endsWith('.')) return err('bad-server-name');
  return ok(name.value);
}
