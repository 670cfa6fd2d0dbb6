/**
 * Certificates for tests (RFC 5280): authorities and leaves, right ones and ones with a chosen defect.
 *
 * Keys are made when asked for and live only in memory. Everything is ECDSA P-256 with SHA-256 unless the defect
 * is the key or the hash.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';
import { parseAddress } from '../../src/core/address.js';

const { asn1 } = forge;
type Asn1 = forge.asn1.Asn1;

export interface TestCa {
  readonly name: string;
  readonly key: KeyObject;
  readonly certPem: string;
  /** What a server sends after the leaf: this authority and those above it, the root left out. */
  readonly chainPem: string;
  /** The root that a client must trust. */
  readonly rootPem: string;
}

export interface TestCaOptions {
  readonly name?: string;
  /** Makes an intermediate. Absent: a self-signed root. */
  readonly issuer?: TestCa;
  /** Name constraints: only names under these domains may be issued (RFC 5280 §4.2.1.10). */
  readonly permittedDns?: readonly string[];
  /** Makes a certificate that may not issue, though it does. */
  readonly notAnAuthority?: boolean;
}

export type KeyKind = 'ec' | 'rsa-1024' | 'rsa-2048';

export interface LeafOptions {
  /** Subject alternative names: DNS names, or addresses. Empty: no such extension. */
  readonly names: readonly string[];
  readonly commonName?: string;
  /** Validity, in days from now; negative is the past. */
  readonly validFromDays?: number;
  readonly validToDays?: number;
  readonly purpose?: 'serverAuth' | 'clientAuth';
  readonly key?: KeyKind;
  readonly hash?: 'sha256' | 'sha1';
}

export interface TestLeaf {
  readonly keyPem: string;
  /** The leaf, and its intermediates. */
  readonly certPem: string;
}

const DAY_MS = 86_400_000;
let authorities = 0;

/** A new authority: a root, or an intermediate of `issuer`. */
export function makeTestCa(options: TestCaOptions = {}): TestCa {
  const name = options.name ?? `Test authority ${++authorities}`;
  const { publicKey, privateKey } = keyPair('ec');
  const issuer = options.issuer ?? { name, key: privateKey };
  const extensions = [
    extension('2.5.29.19', options.notAnAuthority ? sequence() : sequence(bool(true)), true),
    extension('2.5.29.15', bits(1, [0x06]), true),
  ];
  if (options.permittedDns) extensions.push(nameConstraints(options.permittedDns));
  const certPem = certificate({
    subject: name,
    issuer,
    publicKey,
    extensions,
    from: -1,
    to: 30,
    hash: 'sha256',
  });
  if (!options.issuer) return { name, key: privateKey, certPem, chainPem: '', rootPem: certPem };
  const { chainPem, rootPem } = options.issuer;
  return { name, key: privateKey, certPem, chainPem: certPem + chainPem, rootPem };
}

/** A server's certificate with its key. */
export function issue(ca: TestCa, options: LeafOptions): TestLeaf {
  const { publicKey, privateKey } = keyPair(options.key ?? 'ec');
  const purpose = options.purpose === 'clientAuth' ? '1.3.6.1.5.5.7.3.2' : '1.3.6.1.5.5.7.3.1';
  const extensions = [
    extension('2.5.29.19', sequence(), true),
    extension('2.5.29.37', sequence(objectId(purpose)), false),
  ];
  if (options.names.length > 0) {
    extensions.push(extension('2.5.29.17', sequence(...options.names.map(alternativeName)), false));
  }
  const certPem = certificate({
    subject: options.commonName ?? 'leaf',
    issuer: ca,
    publicKey,
    extensions,
    from: options.validFromDays ?? -1,
    to: options.validToDays ?? 7,
    hash: options.hash ?? 'sha256',
  });
  return { keyPem: pemOfKey(privateKey), certPem: certPem + ca.chainPem };
}

/** A certificate that signs itself and names a server. */
export function selfSigned(options: LeafOptions): TestLeaf {
  const { publicKey, privateKey } = keyPair('ec');
  const name = options.commonName ?? 'self';
  const certPem = certificate({
    subject: name,
    issuer: { name, key: privateKey },
    publicKey,
    extensions: [extension('2.5.29.17', sequence(...options.names.map(alternativeName)), false)],
    from: -1,
    to: 7,
    hash: 'sha256',
  });
  return { keyPem: pemOfKey(privateKey), certPem };
}

interface Certificate {
  readonly subject: string;
  readonly issuer: { readonly name: string; readonly key: KeyObject };
  readonly publicKey: KeyObject;
  readonly extensions: readonly Asn1[];
  readonly from: number;
  readonly to: number;
  readonly hash: 'sha256' | 'sha1';
}

function certificate(fields: Certificate): string {
  const algorithm = sequence(objectId(fields.hash === 'sha1' ? '1.2.840.10045.4.1' : '1.2.840.10045.4.3.2'));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbs = sequence(
    asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, [integer(2)]),
    primitive(asn1.Type.INTEGER, serial.toString('binary')),
    algorithm,
    distinguishedName(fields.issuer.name),
    sequence(time(fields.from), time(fields.to)),
    distinguishedName(fields.subject),
    publicKeyInfo(fields.publicKey),
    asn1.create(asn1.Class.CONTEXT_SPECIFIC, 3, true, [sequence(...fields.extensions)]),
  );
  const signature = sign(fields.hash, der(tbs), fields.issuer.key);
  const whole = der(
    sequence(tbs, algorithm, primitive(asn1.Type.BITSTRING, `\0${signature.toString('binary')}`)),
  );
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function keyPair(kind: KeyKind): { publicKey: KeyObject; privateKey: KeyObject } {
  if (kind === 'ec') return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return generateKeyPairSync('rsa', { modulusLength: kind === 'rsa-1024' ? 1024 : 2048 });
}

/** Bit strings are left alone: read as ASN.1, as forge would like to, some keys are not written again as they were. */
function publicKeyInfo(key: KeyObject): Asn1 {
  const bytes = key.export({ type: 'spki', format: 'der' }).toString('binary');
  const options = { strict: true, parseAllBytes: true, decodeBitStrings: false };
  return asn1.fromDer(bytes, options as unknown as boolean);
}

function pemOfKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function alternativeName(name: string): Asn1 {
  if (isIP(name) === 0) return asn1.create(asn1.Class.CONTEXT_SPECIFIC, 2, false, name);
  const address = parseAddress(name);
  if (!address.ok) throw new TypeError(`${name} is not an address`);
  return asn1.create(
    asn1.Class.CONTEXT_SPECIFIC,
    7,
    false,
    Buffer.from(address.value.bytes).toString('binary'),
  );
}

function nameConstraints(domains: readonly string[]): Asn1 {
  const subtrees = domains.map(domain => sequence(alternativeName(domain)));
  return extension('2.5.29.30', sequence(asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, subtrees)), true);
}

function extension(oid: string, value: Asn1, critical: boolean): Asn1 {
  const octets = primitive(asn1.Type.OCTETSTRING, der(value).toString('binary'));
  return critical ? sequence(objectId(oid), bool(true), octets) : sequence(objectId(oid), octets);
}

function distinguishedName(commonName: string): Asn1 {
  const value = primitive(asn1.Type.UTF8, Buffer.from(commonName).toString('binary'));
  return sequence(
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SET, true, [sequence(objectId('2.5.4.3'), value)]),
  );
}

function time(daysFromNow: number): Asn1 {
  return primitive(asn1.Type.UTCTIME, asn1.dateToUtcTime(new Date(Date.now() + daysFromNow * DAY_MS)));
}

function sequence(...members: Asn1[]): Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, members);
}

function objectId(oid: string): Asn1 {
  return primitive(asn1.Type.OID, asn1.oidToDer(oid).getBytes());
}

function integer(value: number): Asn1 {
  return primitive(asn1.Type.INTEGER, asn1.integerToDer(value).getBytes());
}

function bool(value: boolean): Asn1 {
  return primitive(asn1.Type.BOOLEAN, value ? '\xff' : '\0');
}

function bits(unused: number, bytes: readonly number[]): Asn1 {
  return primitive(asn1.Type.BITSTRING, String.fromCharCode(unused, ...bytes));
}

function primitive(type: forge.asn1.Type, value: string): Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, type, false, value);
}

function der(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'binary');
}
