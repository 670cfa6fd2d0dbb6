/**
 * Certificates of the interception CA (RFC 5280): its own and the leaves under it, ECDSA P-256 throughout.
 *
 * Pure but for the signature's nonce: serials and times are the caller's. The DER is built from typed fields, so a
 * name is never text that a parser splits.
 */
import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { type Host, hostText } from '../../core/host.js';
import {
  bits,
  type Der,
  emitDer,
  explicit,
  implicit,
  integer,
  octets,
  oid,
  raw,
  sequence,
  set,
  time,
  utf8,
  yes,
} from './der.js';

/** Times are milliseconds since the Unix epoch; certificates keep whole seconds. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Who signs: everything that a leaf says about its CA follows from the key. */
export interface Issuer {
  readonly key: KeyObject;
  readonly keyId: Uint8Array;
}

/** A key that certificates are made for. Prepared once, used for every mint. */
export interface Subject {
  readonly spki: Der;
  readonly keyId: Uint8Array;
}

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const;

/** RFC 5280 appendix A.1: a common name has at most 64 characters. */
const COMMON_NAME_LIMIT = 64;

/** The public half of `key`, private or public, as certificates carry it. */
export function subjectOf(key: KeyObject): Subject {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const der = publicKey.export({ type: 'spki', format: 'der' });
  // The identifier is the SHA-1 of the BIT STRING's content (RFC 5280 §4.2.1.2): for P-256 the last 65 bytes.
  const point = der.subarray(der.length - 65);
  return { spki: raw(der), keyId: createHash('sha1').update(point).digest() };
}

export function issuerOf(key: KeyObject): Issuer {
  return { key, keyId: subjectOf(key).keyId };
}

/** The CA's own certificate: it may sign leaves only (pathlen 0), and nothing but certificates. */
export function mintCa(issuer: Issuer, serial: Uint8Array, validity: Validity): Buffer {
  const subject = subjectOf(issuer.key);
  const name = caName(issuer);
  return signed(issuer, serial, validity, name, subject.spki, [
    extension(OID.basicConstraints, true, sequence(yes(), integer(Uint8Array.of(0)))),
    extension(OID.keyUsage, true, bits(Uint8Array.of(0x04), 2)), // keyCertSign
    extension(OID.subjectKeyIdentifier, false, octets(subject.keyId)),
  ]);
}

/** A leaf for one host: a DNS name or an address, never a pattern. */
export function mintLeaf(
  issuer: Issuer,
  host: Host,
  subject: Subject,
  serial: Uint8Array,
  validity: Validity,
): Buffer {
  const text = hostText(host);
  const named = text.length <= COMMON_NAME_LIMIT;
  const altName =
    host.kind === 'name' ? implicit(2, Buffer.from(host.name)) : implicit(7, host.address.bytes);
  return signed(
    issuer,
    serial,
    validity,
    named ? distinguished([OID.commonName, text]) : sequence(),
    subject.spki,
    [
      extension(OID.basicConstraints, true, sequence()),
      extension(OID.keyUsage, true, bits(Uint8Array.of(0x80), 7)), // digitalSignature
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
      // Critical where the subject is empty (RFC 5280 §4.2.1.6).
      extension(OID.subjectAltName, !named, sequence(altName)),
      extension(OID.subjectKeyIdentifier, false, octets(subject.keyId)),
      extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, issuer.keyId))),
    ],
  );
}

export function certificatePem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Two gateways' CAs differ in name, so that a client that knows both never tries the wrong key. */
function caName(issuer: Issuer): Der {
  const mark = Buffer.from(issuer.keyId.subarray(0, 4)).toString('hex');
  return distinguished([OID.organization, 'Sallyport'], [OID.commonName, `Sallyport CA ${mark}`]);
}

function distinguished(...attributes: readonly (readonly [type: string, text: string])[]): Der {
  return sequence(...attributes.map(([type, text]) => set(sequence(oid(type), utf8(text)))));
}

function extension(type: string, critical: boolean, value: Der): Der {
  const body = octets(emitDer(value));
  return critical ? sequence(oid(type), yes(), body) : sequence(oid(type), body);
}

function signed(
  issuer: Issuer,
  serial: Uint8Array,
  validity: Validity,
  subject: Der,
  spki: Der,
  extensions: readonly Der[],
): Buffer {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const tbs = sequence(
    explicit(0, integer(Uint8Array.of(2))), // version 3
    integer(serial),
    algorithm,
    caName(issuer),
    sequence(time(validity.notBefore), time(validity.notAfter)),
    subject,
    spki,
    explicit(3, sequence(...extensions)),
  );
  const signature = sign('sha256', emitDer(tbs), issuer.key);
  return emitDer(sequence(tbs, algorithm, bits(signature)));
}
