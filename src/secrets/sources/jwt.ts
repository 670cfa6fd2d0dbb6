/**
 * A signed JSON Web Token (RFC 7519; RS256 and ES256 of RFC 7518 §3.3, §3.4), in the form that GitHub Apps use.
 *
 * Pure: the time is given. `iat` lies a minute back, so that a clock that runs late takes it.
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { given, gone } from './answer.js';
import type { Fetched, JwtSource } from './source.js';

const BACKDATED_SECONDS = 60;

export function mintJwt({ algorithm, claims, ttlMs }: JwtSource, keyPem: string, nowMs: number): Fetched {
  const key = privateKey(keyPem);
  if (key === null) return gone('its key is not a private key in PEM');
  const wrong = keyFault(key, algorithm);
  if (wrong !== null) return gone(wrong);
  const now = Math.floor(nowMs / 1000);
  const times = [
    ['iat', now - BACKDATED_SECONDS],
    ['exp', now + Math.floor(ttlMs / 1000)],
  ] as const;
  const payload = Object.fromEntries([...claims, ...times]);
  const text = `${part({ alg: algorithm, typ: 'JWT' })}.${part(payload)}`;
  // JWS takes the two numbers of an ECDSA signature side by side, not in DER.
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return given(`${text}.${signature.toString('base64url')}`, ttlMs);
}

function privateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's message says nothing that an operator could use.
    return null;
  }
}

function keyFault(key: KeyObject, algorithm: JwtSource['algorithm']): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm === 'ES256') {
    return type === 'ec' && details?.namedCurve === 'prime256v1' ? null : 'ES256 needs a P-256 key';
  }
  return type === 'rsa' && (details?.modulusLength ?? 0) >= 2048
    ? null
    : 'RS256 needs an RSA key of 2048 bits or more';
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
