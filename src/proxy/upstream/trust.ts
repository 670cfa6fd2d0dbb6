/**
 * Whom the gateway trusts upstream, and that it is them (RFC 5280, RFC 9525): chain, name, dates, purpose, name
 * constraints, TLS 1.2 or later, keys and hashes of 112 bits or more. There is no way to turn it off.
 *
 * The name is looked for in the alternative names only, never in the common name; a wildcard stands for one whole
 * label. Sessions are never resumed, so that each connection's certificate was verified on it. A shell: files, TLS.
 */
import { constants, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { errorCode, GatewayError } from '../../core/errors.js';
import { type Host, hostText } from '../../core/host.js';
import { readIntoShared } from '../tls/shared-reads.js';
import { READ_BYTES } from './dial.js';
import { aborted, handshakeFailure, unreachable, wrongName } from './failure.js';

/** Roots and rules for the upstream side. Made once: reading the system's bundle takes 15 ms. */
export interface Trust {
  readonly context: tls.SecureContext;
}

/** Where distributions keep their roots; the first that exists is taken. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/**
 * The system's roots, or Node's where there are none, and the certificates of `caFiles`.
 * Throws `GatewayError` CONFIG_INVALID for a file that holds none, and for an environment that turns checks off.
 */
export async function loadTrust(
  caFiles: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Trust> {
  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    throw new GatewayError(
      'CONFIG_INVALID',
      'NODE_TLS_REJECT_UNAUTHORIZED=0 turns off what keeps secrets safe: unset it',
    );
  }
  const extra = await Promise.all(caFiles.map(readAuthorities));
  return trustRoots([...(await systemRoots()), ...extra.flat()]);
}

/** Trusts `roots` (PEM) and nothing else. */
export function trustRoots(roots: readonly string[]): Trust {
  const context = tls.createSecureContext({
    ca: [...roots],
    minVersion: 'TLSv1.2',
    // Level 2: no RSA under 2048 bits and no SHA-1, in any certificate of the chain.
    ciphers: `${tls.DEFAULT_CIPHERS}:@SECLEVEL=2`,
    // A renegotiation could change the certificate of a connection that was already verified.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
  return { context };
}

async function systemRoots(): Promise<readonly string[]> {
  for (const path of SYSTEM_BUNDLES) {
    // A bundle that cannot be read is no bundle: the next one, or Node's own roots, verify as strictly.
    const bundle = await readFile(path, 'latin1').catch(() => null);
    if (bundle !== null) return [bundle];
  }
  return tls.rootCertificates;
}

async function readAuthorities(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'latin1').catch((cause: unknown) => {
    throw new GatewayError('CONFIG_INVALID', `${path}: cannot be read (${errorCode(cause)})`, { cause });
  });
  const found = text.match(PEM_CERTIFICATE) ?? [];
  if (found.length === 0) throw new GatewayError('CONFIG_INVALID', `${path}: holds no PEM certificate`);
  for (const pem of found) {
    try {
      new X509Certificate(pem);
    } catch (cause) {
      throw new GatewayError('CONFIG_INVALID', `${path}: holds a certificate that cannot be read`, { cause });
    }
  }
  return found;
}

/** True when `certificate` names `host` in its alternative names (RFC 9525 §6.3, §6.4). */
export function namesHost(certificate: X509Certificate, host: Host): boolean {
  if (host.kind === 'ip') return certificate.checkIP(host.address.text) !== undefined;
  return certificate.checkHost(host.name, { subject: 'never', partialWildcards: false }) !== undefined;
}

export interface HandshakeOptions {
  /** The decided host: sent as SNI (names only) and looked for in the certificate. */
  readonly host: Host;
  /** Protocols to offer, best first (RFC 7301). */
  readonly alpn: readonly string[];
  readonly timeoutMs: number;
}

/**
 * TLS over a connected socket, which it owns from here on. Resolves only with a verified peer; nothing but the
 * handshake has been written by then. Throws UPSTREAM_UNTRUSTED, UPSTREAM_UNREACHABLE or CLIENT_ABORTED.
 */
export async function secure(
  socket: Socket,
  trust: Trust,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const where = hostText(options.host);
  const secured = tls.connect({
    socket,
    secureContext: trust.context,
    servername: options.host.kind === 'name' ? options.host.name : '',
    ALPNProtocols: [...options.alpn],
    rejectUnauthorized: true,
    checkServerIdentity: (_name, { raw }) => {
      const certificate = new X509Certificate(raw);
      return namesHost(certificate, options.host) ? undefined : wrongName(certificate, where);
    },
    highWaterMark: READ_BYTES,
  } as tls.ConnectionOptions);
  await handshake(secured, where, options.timeoutMs, signal);
  if (!secured.authorized) {
    secured.destroy();
    throw handshakeFailure(where, secured.authorizationError);
  }
  readIntoShared(secured);
  return secured;
}

function handshake(
  secured: tls.TLSSocket,
  where: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(unreachable(where, 'the TLS handshake took too long')), timeoutMs);
    const onAbort = (): void => end(aborted(signal));
    const onError = (error: Error): void => end(handshakeFailure(where, error));
    const onClose = (): void => end(unreachable(where, 'it hung up during the TLS handshake'));
    const onSecure = (): void => end(null);
    function end(error: GatewayError | null): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      secured.off('secureConnect', onSecure).off('close', onClose);
      if (error === null) {
        secured.off('error', onError);
        resolve();
      } else {
        // Its error listener stays: a socket that is being destroyed may still have one to tell.
        secured.destroy();
        reject(error);
      }
    }
    secured.once('secureConnect', onSecure).on('error', onError).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
