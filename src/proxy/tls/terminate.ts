/**
 * Ends a sandbox's TLS at the gateway, with a leaf that was minted for the name in its ClientHello.
 *
 * A shell: sockets and one timer. What OpenSSL agreed on is compared with what was decided; a difference ends the
 * connection.
 */
import type { Duplex } from 'node:stream';
import { type SecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls';
import { GatewayError, ignore } from '../../core/errors.js';
import { parseHostname } from '../../core/host.js';
import type { CancelSignal } from '../cancel.js';
import { ALERT, type Alert, emitAlert } from './alert.js';
import type { ClientHello } from './client-hello.js';
import { readIntoShared } from './shared-reads.js';

export type Protocol = 'h2' | 'http/1.1';

export interface TerminateOptions {
  /** From the call to the end of the handshake, in milliseconds. */
  readonly handshakeMs?: number;
  /** What may be agreed on by ALPN, best first. */
  readonly protocols?: readonly Protocol[];
}

const HANDSHAKE_MS = 10_000;
const PROTOCOLS: readonly Protocol[] = ['h2', 'http/1.1'];
/** A quarter more downloads a second than with Node's 16 KiB. */
const BUFFER_BYTES = 262_144;
/** How long a refused client may take to read its alert, in milliseconds. */
const ALERT_MS = 1_000;

/**
 * Performs the server's side of the handshake on `socket`, whose next bytes (put back by `unshift` if they were
 * peeked) are the ClientHello that `hello` was read from. The socket belongs to the TLS socket from here on; errors
 * after the handshake destroy it and are told by its `error` and `close` events.
 *
 * Rejects with `GatewayError`: CLIENT_PROTOCOL when the handshake failed or did not keep to `hello`, LIMIT_EXCEEDED
 * after `handshakeMs`, CLIENT_ABORTED when the sandbox went away or `signal` fired. Nothing stays open then.
 */
export function terminate(
  socket: Duplex,
  hello: ClientHello,
  context: SecureContext,
  options: TerminateOptions,
  signal: CancelSignal,
): Promise<TLSSocket> {
  const { handshakeMs = HANDSHAKE_MS, protocols = PROTOCOLS } = options;
  const offered = protocols.filter(protocol => hello.alpn.includes(protocol));
  if (hello.alpn.length > 0 && offered.length === 0) {
    refuseTls(socket, ALERT.noApplicationProtocol);
    return Promise.reject(new GatewayError('CLIENT_PROTOCOL', 'the client offers neither h2 nor http/1.1'));
  }
  const secured = new TLSSocket(socket, serverOptions(context, offered));
  return handshake(secured, hello, handshakeMs, signal);
}

/** Ends the connection with a fatal alert. For use before the handshake only: the alert is in the clear. */
export function refuseTls(socket: Duplex, alert: Alert): void {
  const timer = setTimeout(() => socket.destroy(), ALERT_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.on('error', () => socket.destroy());
  socket.end(emitAlert(alert));
  // Bytes that nobody reads would turn the close into a reset, which may overtake the alert.
  socket.resume();
}

function serverOptions(context: SecureContext, protocols: readonly Protocol[]): TLSSocketOptions {
  const options: TLSSocketOptions & { readonly highWaterMark: number } = {
    isServer: true,
    secureContext: context,
    requestCert: false,
    rejectUnauthorized: false,
    highWaterMark: BUFFER_BYTES,
  };
  return protocols.length === 0 ? options : { ...options, ALPNProtocols: [...protocols] };
}

function destroyIt(this: TLSSocket, cause: Error): void {
  this.destroy(cause);
}

function handshake(
  secured: TLSSocket,
  hello: ClientHello,
  handshakeMs: number,
  signal: CancelSignal,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    let failure: GatewayError | null = null;
    const fail = (error: GatewayError): void => {
      failure ??= error;
      secured.destroy();
    };
    const abort = (): void => fail(new GatewayError('CLIENT_ABORTED', 'the flow was closed'));
    const timer = setTimeout(
      () => fail(new GatewayError('LIMIT_EXCEEDED', `the TLS handshake took over ${handshakeMs} ms`)),
      handshakeMs,
    );
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      secured.removeListener('close', onClose);
      secured.removeListener('end', onEnd);
    };
    const onClose = (): void => {
      settle();
      reject(failure ?? new GatewayError('CLIENT_ABORTED', 'the client left during the TLS handshake'));
    };
    // A flow may stay half open (RFC 9112 §9.6), but nobody finishes a handshake without a client.
    const onEnd = (): void =>
      fail(new GatewayError('CLIENT_ABORTED', 'the client left during the TLS handshake'));
    const onSecure = (): void => {
      const fault = disagreement(secured, hello);
      if (fault !== null) {
        fail(new GatewayError('CLIENT_PROTOCOL', fault));
        return;
      }
      settle();
      secured.off('_tlsError', onFault).on('_tlsError', destroyIt);
      // A tls.Server clears this; without it node:http2 would wait for a handshake that is over.
      Object.assign(secured, { secureConnecting: false });
      readIntoShared(secured);
      resolve(secured);
    };

    secured.once('secure', onSecure);
    secured.once('close', onClose);
    secured.once('end', onEnd);
    // Node gives TLS faults of a socket without a tls.Server by this event alone, before and after the handshake.
    const onFault = (cause: Error): void => {
      failure ??= new GatewayError('CLIENT_PROTOCOL', 'the TLS handshake failed', { cause });
      secured.destroy(cause);
    };
    secured.on('_tlsError', onFault);
    // Kept for the socket's life, so that a late fault cannot end the process; `close` follows and is what is waited for.
    secured.on('error', ignore);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

/** What OpenSSL agreed on that is not what was read and decided; null when there is nothing. */
function disagreement(secured: TLSSocket, hello: ClientHello): string | null {
  // Typed as a string; it is false or null when no server_name was sent.
  const sent: unknown = secured.servername;
  const name = typeof sent === 'string' && sent !== '' ? parseHostname(sent) : null;
  const agreed = name === null ? null : name.ok ? name.value : undefined;
  if (agreed !== hello.serverName) return 'the server_name changed during the handshake';
  // A resumed handshake shows no certificate and could carry another name's decision (RFC 8446 §4.6.1).
  if (secured.isSessionReused()) return 'the client resumed a session that was never given out';
  return null;
}
