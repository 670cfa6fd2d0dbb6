/**
 * The CA's folder: `ca.key` (0600, made once) and `ca.crt`, in a folder of mode 0700.
 *
 * A shell: files and randomness. The key is never replaced. The certificate follows from the key, so a renewed one
 * verifies the leaves of every process that still holds the old.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import { certificatePem, type Issuer, issuerOf, mintCa } from './mint.js';

export interface StoredCa {
  readonly issuer: Issuer;
  readonly certPem: string;
}

const DAY_MS = 86_400_000;
const CA_LIFETIME_MS = 730 * DAY_MS;
/** A certificate with less left is made again. */
const RENEW_MS = 30 * DAY_MS;

/**
 * Opens the CA in `dir`, or makes it there. However many processes do so at once, all get one key.
 * Throws `GatewayError`: CA_UNSAFE with the command that mends it, CONFIG_INVALID when the files are not a CA of
 * this gateway or cannot be written.
 */
export function openCaStore(dir: string, nowMs: number): StoredCa {
  try {
    const keyPath = join(dir, 'ca.key');
    prepareFolder(dir, keyPath);
    if (!existsSync(keyPath)) publishOnce(keyPath, newKeyPem(), 0o600);
    const issuer = issuerOf(readKey(keyPath));
    return { issuer, certPem: currentCertificate(join(dir, 'ca.crt'), issuer, nowMs) };
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('CONFIG_INVALID', `the CA folder ${dir} cannot be used (${errorCode(error)})`, {
      cause: error,
    });
  }
}

/** A CA that lives in memory only: nothing is written, and it ends with the process. */
export function ephemeralCa(nowMs: number): StoredCa {
  const issuer = issuerOf(newKey());
  return { issuer, certPem: newCertificate(issuer, nowMs) };
}

/** Sixteen random bytes, positive and without a leading zero (RFC 5280 §4.1.2.2). */
export function randomSerial(): Uint8Array {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
}

function newKeyPem(): string {
  return newKey().export({ type: 'pkcs8', format: 'pem' }).toString();
}

function prepareFolder(dir: string, keyPath: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  // Asked before the mode is read: whoever makes a key closes the folder first.
  const hasKey = existsSync(keyPath);
  const folder = lstatSync(dir);
  if (folder.isSymbolicLink()) throw unsafe(`${dir} is a symbolic link`, `name the folder itself`);
  assertOurs(dir, folder);
  if ((folder.mode & 0o077) === 0) return;
  if (hasKey) {
    throw unsafe(`${dir} is open to others (mode ${modeText(folder)})`, `chmod 700 ${dir}`);
  }
  // A fresh checkout's folder is 0755: while it holds no key, closing it is enough.
  chmodSync(dir, 0o700);
}

function readKey(path: string): KeyObject {
  const pem = readOurs(path, stats => {
    if ((stats.mode & 0o077) === 0) return;
    throw unsafe(`${path} can be read by others (mode ${modeText(stats)})`, `chmod 600 ${path}`);
  });
  const key = parseKey(pem);
  if (key?.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new GatewayError(
    'CONFIG_INVALID',
    `${path} is not an ECDSA P-256 key; move it away to have one made`,
  );
}

function parseKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null; // the parser's words could quote the key: the caller says it without them
  }
}

/** Reads a file that must be a regular one of ours. Symbolic links are not followed. */
function readOurs(path: string, check: (stats: Stats) => void): string {
  const link = lstatSync(path);
  if (link.isSymbolicLink()) throw unsafe(`${path} is a symbolic link`, `rm ${path}`);
  if (!link.isFile()) throw unsafe(`${path} is not a file`, `move it away`);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const stats = fstatSync(fd);
    assertOurs(path, stats);
    check(stats);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function currentCertificate(path: string, issuer: Issuer, nowMs: number): string {
  if (!existsSync(path)) publishOnce(path, newCertificate(issuer, nowMs), 0o644);
  const pem = readOurs(path, stats => {
    if ((stats.mode & 0o022) === 0) return;
    throw unsafe(`${path} can be written by others (mode ${modeText(stats)})`, `chmod 644 ${path}`);
  });
  const certificate = parseCertificate(pem);
  if (certificate === null || !certificate.ca || !certificate.checkPrivateKey(issuer.key)) {
    const advice = 'remove ca.crt to have it made again';
    throw new GatewayError('CONFIG_INVALID', `${path} is not the certificate of ca.key; ${advice}`);
  }
  const left = Date.parse(certificate.validTo) - nowMs;
  if (left > RENEW_MS && Date.parse(certificate.validFrom) <= nowMs) return pem;
  const renewed = newCertificate(issuer, nowMs);
  replace(path, renewed, 0o644);
  return renewed;
}

function parseCertificate(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null; // whatever is wrong with it, the caller's message says what to do
  }
}

function newCertificate(issuer: Issuer, nowMs: number): string {
  // A day back: sandboxes and their hosts do not always agree on the time.
  const validity = { notBefore: nowMs - DAY_MS, notAfter: nowMs + CA_LIFETIME_MS };
  return certificatePem(mintCa(issuer, randomSerial(), validity));
}

/** Makes `path` appear with all of its content, or leaves the one that another process made first. */
function publishOnce(path: string, content: string, mode: number): void {
  const draft = writeDraft(path, content, mode);
  try {
    linkSync(draft, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
}

function replace(path: string, content: string, mode: number): void {
  renameSync(writeDraft(path, content, mode), path);
}

function writeDraft(path: string, content: string, mode: number): string {
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const fd = openSync(draft, 'wx', 0o600);
  try {
    writeFileSync(fd, content);
    fchmodSync(fd, mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return draft;
}

function assertOurs(path: string, stats: Stats): void {
  const us = process.geteuid?.();
  if (us === undefined || stats.uid === us) return;
  throw unsafe(`${path} belongs to user ${stats.uid}, not to ${us}`, `chown ${us} ${path}`);
}

function unsafe(what: string, mend: string): GatewayError {
  return new GatewayError('CA_UNSAFE', `${what}: ${mend}`);
}

function modeText(stats: Stats): string {
  return `0${(stats.mode & 0o777).toString(8)}`;
}
