/**
 * Java key stores in Sun's JKS format, with trusted certificates only: every Java reads it, whatever its default is.
 *
 * Pure. Format: magic, version 2, count; for each entry a tag, alias, date, type and certificate; last a keyed SHA-1
 * of all of it. The key is the well-known store password, so it guards against damage, not against anybody.
 */
import { createHash } from 'node:crypto';

/** What Java expects of its own `cacerts`. */
export const JKS_PASSWORD = 'changeit';

const MAGIC = 0xfeedfeed;
const VERSION = 2;
const TRUSTED_CERTIFICATE = 2;
const WHITENER = 'Mighty Aphrodite';

/** A store of DER certificates. */
export function emitJks(certificates: readonly Uint8Array[], password: string = JKS_PASSWORD): Uint8Array {
  const entries = certificates.map((der, index) =>
    Buffer.concat([
      uint32(TRUSTED_CERTIFICATE),
      utf(`ca-${index}`),
      Buffer.alloc(8), // the date of entry: nobody looks, and the same input gives the same store
      utf('X.509'),
      uint32(der.length),
      der,
    ]),
  );
  const store = Buffer.concat([uint32(MAGIC), uint32(VERSION), uint32(entries.length), ...entries]);
  const key = Buffer.from(password, 'utf16le').swap16();
  const digest = createHash('sha1').update(key).update(WHITENER).update(store).digest();
  return Buffer.concat([store, digest]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** `DataOutput.writeUTF` of ASCII: a length of two bytes, then the text. */
function utf(text: string): Buffer {
  const bytes = Buffer.alloc(2 + text.length);
  bytes.writeUInt16BE(text.length);
  bytes.write(text, 2, 'latin1');
  return bytes;
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----([\sA-Za-z0-9+/=]+)-----END/g;

/** The DER certificates of a PEM bundle (RFC 7468); whatever else is in it is left out. */
export function certificatesOf(pem: string): readonly Uint8Array[] {
  return Array.from(pem.matchAll(CERTIFICATE), ([, base64 = '']) => Buffer.from(base64, 'base64'));
}
