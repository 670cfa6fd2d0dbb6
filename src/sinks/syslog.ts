/**
 * Events to a syslog server over TLS (RFC 5425). A shell: TLS.
 *
 * Syslog acknowledges nothing. A batch counts as delivered when the peer's kernel has its bytes and the connection is
 * well a moment later; what a peer loses after that is lost without a word, which is why the dead letters and the event
 * log are there. A connection that the peer has ended is noticed before the next batch is written to it.
 */
import {
  checkServerIdentity,
  connect,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { errorCode } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import type { Event } from '../events/event.js';
import type { DeliveryFault, Transport } from './delivery.js';
import { emitSyslog, frame, type SyslogFacts } from './rfc5424.js';

export interface SyslogOptions extends SyslogFacts {
  readonly host: string;
  readonly port: number;
  readonly secureContext: SecureContext;
  /** How long a batch that was written is watched for the connection's end. */
  readonly settleMs?: number;
}

const SETTLE_MS = 50;

export function createSyslog(options: SyslogOptions): Transport {
  return new SyslogTransport(options);
}

class SyslogTransport implements Transport {
  readonly #options: SyslogOptions;
  #socket: TLSSocket | null = null;

  constructor(options: SyslogOptions) {
    this.#options = options;
  }

  async deliver(batch: readonly Event[], signal: AbortSignal): Promise<Result<void, DeliveryFault>> {
    try {
      const socket = await this.#connect(signal);
      const text = batch.map(event => frame(emitSyslog(event, this.#options))).join('');
      await written(socket, text, signal);
      await settled(socket, this.#options.settleMs ?? SETTLE_MS, signal);
      return ok(undefined);
    } catch (error) {
      this.#drop();
      return err({ message: `the server cannot be reached (${errorCode(error)})`, final: false });
    }
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null || socket.destroyed) return;
    // close_notify first (RFC 5425 §4.4): what is on its way arrives.
    await new Promise<void>(resolve => {
      socket.once('close', () => resolve());
      socket.end();
      setTimeout(() => socket.destroy(), CLOSE_MS).unref();
    });
  }

  #connect(signal: AbortSignal): Promise<TLSSocket> {
    const { host, port, secureContext } = this.#options;
    if (this.#socket !== null && !this.#socket.destroyed && this.#socket.writable) {
      return Promise.resolve(this.#socket);
    }
    this.#drop();
    return new Promise((resolve, reject) => {
      const socket = connect({
        host,
        port,
        secureContext,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
          checkServerIdentity(host, certificate),
      });
      const abort = (): void => void socket.destroy(aborted());
      signal.addEventListener('abort', abort, { once: true });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        signal.removeEventListener('abort', abort);
        this.#keep(socket);
        resolve(socket);
      });
      if (signal.aborted) abort();
    });
  }

  #keep(socket: TLSSocket): void {
    this.#socket = socket;
    // A server of syslog says nothing; what it says is passed over, and its end ends the connection.
    socket.resume();
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
  }

  #drop(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }
}

const CLOSE_MS = 1_000;

function written(socket: TLSSocket, text: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = watch(socket, signal, error => {
      forget();
      reject(error);
    });
    socket.write(text, error => {
      forget();
      if (error) reject(error);
      else resolve();
    });
  });
}

/** A peer that is gone answers what was written to it with a reset: it is given a moment to do so. */
function settled(socket: TLSSocket, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, ms);
    const forget = watch(socket, signal, error => {
      clearTimeout(timer);
      forget();
      reject(error);
    });
  });
}

function watch(socket: TLSSocket, signal: AbortSignal, onEnd: (error: Error) => void): () => void {
  const ended = (): void => onEnd(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
  const abort = (): void => onEnd(aborted());
  socket.once('close', ended);
  signal.addEventListener('abort', abort, { once: true });
  if (socket.destroyed) queueMicrotask(ended);
  return () => {
    socket.off('close', ended);
    signal.removeEventListener('abort', abort);
  };
}

function aborted(): Error {
  return Object.assign(new Error('aborted'), { code: 'ABORTED' });
}
