/**
 * The key that signs a spool (Ed25519, RFC 8032), and the anchors: how far each spool was signed, kept beside the key.
 *
 * A shell: files of mode 0600 in a folder of mode 0700, which no sandbox sees. Who can write the spool and not this
 * folder can cut the spool's tail, and the anchor tells.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { Sign } from './format.js';

export interface SpoolKey {
  readonly sign: Sign;
  /** Raw, base64url. */
  readonly publicKey: string;
}

/** The key in `dir`, made there at the first start. Throws `GatewayError` SPOOL_INVALID. */
export function openSpoolKey(dir: string): SpoolKey {
  const path = join(dir, 'key.pem');
  return attempt(path, () => {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    if (statSync(path, { throwIfNoEntry: false }) === undefined) makeKey(dir, path);
    const key = readKey(path);
    return {
      sign: text => sign(null, Buffer.from(text), key).toString('base64url'),
      publicKey: rawOf(createPublicKey(key)),
    };
  });
}

/** The public half of the key in `dir`; null: there is none, or none that we may read. */
export function findPublicKey(dir: string): string | null {
  try {
    return rawOf(createPublicKey(readKey(join(dir, 'key.pem'))));
  } catch {
    // Without it a spool is judged by the key that it brings along, and that is said.
    return null;
  }
}

/** Whether `signature` is that of `text` by `publicKey` (raw, base64url). */
export function isSigned(text: string, signature: string, publicKey: string): boolean {
  const bytes = Buffer.from(signature, 'base64url');
  // Base64 has spare bits at the end: there is one way to write a signature.
  if (bytes.toString('base64url') !== signature) return false;
  return verify(null, Buffer.from(text), publicOf(publicKey), bytes);
}

const known = new Map<string, KeyObject>();

function publicOf(raw: string): KeyObject {
  const found =
    known.get(raw) ?? createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
  if (known.size < 16) known.set(raw, found);
  return found;
}

/** The last checkpoint of the spool `id` that this machine signed; null: none. */
export function readAnchor(dir: string, id: string): string | null {
  try {
    return readFileSync(join(dir, `${id}.anchor`), 'utf8').trimEnd();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Replaces the anchor, whole or not at all. */
export function writeAnchor(dir: string, id: string, checkpoint: string): void {
  const path = join(dir, `${id}.anchor`);
  writeFileSync(`${path}.new`, `${checkpoint}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** However many processes begin at once, all get one key. */
function makeKey(dir: string, path: string): void {
  const draft = join(dir, `key.${process.pid}.${randomBytes(6).toString('hex')}`);
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(draft, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, path);
  } catch (error) {
    // Somebody was faster: theirs is the key.
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
}

function readKey(path: string): KeyObject {
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new GatewayError('SPOOL_INVALID', `${path} can be read by others: chmod 600 ${path}`);
  }
  const key = createPrivateKey(readFileSync(path));
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new GatewayError('SPOOL_INVALID', `${path} is no Ed25519 key`);
}

function rawOf(key: KeyObject): string {
  return key.export({ format: 'jwk' }).x ?? '';
}

function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    const message = `the key of the spool ${path} cannot be used (${errorCode(error)})`;
    throw new GatewayError('SPOOL_INVALID', message, { cause: error });
  }
}
