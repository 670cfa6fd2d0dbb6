/**
 * How the way to an upstream fails, as one sentence each (RFC 9110 §15.6.3).
 *
 * Pure. The sentences hold names, addresses and codes, never a field or a value.
 */
import type { X509Certificate } from 'node:crypto';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { CancelSignal } from '../cancel.js';

/** A failure of the network itself; every other failure of a handshake is one of trust. */
const NETWORK_CODES: ReadonlySet<string> = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
]);

/** What Node's and OpenSSL's codes mean to a reader. */
const UNTRUSTED: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'its certificate has expired'],
  ['CERT_NOT_YET_VALID', 'its certificate is not valid yet'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is signed by itself'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its certificate leads to an authority that is not trusted'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'its certificate leads to an authority that is not trusted'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its certificate leads to an authority that is not trusted'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'its certificate leads to an authority that is not trusted'],
  ['INVALID_CA', 'its certificate was issued by one that may not issue'],
  ['INVALID_PURPOSE', 'its certificate is not one for servers'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate does not name it'],
]);

/** The wait was given up by whoever asked. A reason that is a `GatewayError` is kept. */
export function aborted({ reason }: CancelSignal): GatewayError {
  if (reason instanceof GatewayError) return reason;
  return new GatewayError('CLIENT_ABORTED', 'the sandbox went away before the answer');
}

export function unreachable(where: string, why: string, cause?: unknown): GatewayError {
  return new GatewayError('UPSTREAM_UNREACHABLE', `${where} could not be reached: ${why}`, { cause });
}

/** The error of a handshake that failed: of the network, or of trust. */
export function handshakeFailure(where: string, error: unknown): GatewayError {
  const code = errorCode(error);
  if (NETWORK_CODES.has(code)) return unreachable(where, `the TLS handshake was cut off (${code})`, error);
  const why = UNTRUSTED.get(code) ?? 'the TLS handshake failed';
  return new GatewayError('UPSTREAM_UNTRUSTED', `${where} is not trusted: ${why} (${code})`, {
    cause: error,
  });
}

/** What `checkServerIdentity` gives back for a certificate that names somebody else. */
export function wrongName(certificate: X509Certificate, host: string): Error {
  const names = certificate.subjectAltName ?? 'no name at all';
  return Object.assign(new Error(`the certificate of ${host} is for ${names.slice(0, 200)}`), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
}
