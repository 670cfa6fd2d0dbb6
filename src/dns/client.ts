/**
 * Asks real name servers (RFC 1035 §4.2, RFC 5452, RFC 7766): UDP, then TCP where the answer did not fit.
 *
 * A shell. Every question goes out with a random id from a socket of its own, hence from a random port, that is
 * connected, hence hears only that server.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { type Endpoint, endpointText } from '../core/address.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Hostname } from '../core/host.js';
import { frameMessage, takeMessage } from './framing.js';
import type { LookUp, LookUpAnswer } from './look-up.js';
import { type Asked, emitQuestion, readAnswer } from './upstream-message.js';

export interface ClientOptions {
  /** For one look-up, all servers and tries together. */
  readonly timeoutMs: number;
  /** How often each server is asked. */
  readonly tries: number;
}

const DEFAULTS: ClientOptions = { timeoutMs: 5000, tries: 2 };

/** A client without memory: one question on the wire for each call. */
export function createLookUp(options: ClientOptions = DEFAULTS): LookUp {
  return async (name, family, servers, signal) => {
    const attempts = Array.from({ length: options.tries }, () => servers).flat();
    const attemptMs = options.timeoutMs / Math.max(1, attempts.length);
    let lastFault = 'no name server is known';
    for (const server of attempts) {
      if (signal.aborted) break;
      try {
        return await ask(server, name, family, AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]));
      } catch (error) {
        // The next server may know better; the last fault is what the caller is told.
        lastFault = `${endpointText(server)}: ${error instanceof Error ? error.message : errorCode(error)}`;
      }
    }
    throw new GatewayError('RESOLVE_FAILED', `${name} could not be resolved: ${lastFault}`);
  };
}

async function ask(
  server: Endpoint,
  name: Hostname,
  family: 4 | 6,
  signal: AbortSignal,
): Promise<LookUpAnswer> {
  const asked = emitQuestion(name, family, randomInt(0x1_0000));
  const overUdp = await askUdp(server, asked, signal);
  return overUdp === 'truncated' ? askTcp(server, asked, signal) : overUdp;
}

function askUdp(server: Endpoint, asked: Asked, signal: AbortSignal): Promise<LookUpAnswer | 'truncated'> {
  const socket = createSocket(server.address.family === 4 ? 'udp4' : 'udp6');
  const answer = new Promise<LookUpAnswer | 'truncated'>((resolve, reject) => {
    rejectOnAbort(signal, reject);
    socket.on('error', reject);
    socket.on('message', bytes => {
      const read = readAnswer(bytes, asked);
      if (read.ok) return resolve(read.value);
      if (read.error === 'truncated') return resolve('truncated');
      if (read.error !== 'mismatch') reject(new Error(`its answer is ${read.error}`));
    });
    socket.once('connect', () => {
      // A send that fails is an 'error' event too, as is an unreachable port.
      if (!signal.aborted) socket.send(asked.packet);
    });
    socket.connect(server.port, server.address.text);
  });
  return answer.finally(() => socket.close());
}

function askTcp(server: Endpoint, asked: Asked, signal: AbortSignal): Promise<LookUpAnswer> {
  const socket = connect({ host: server.address.text, port: server.port });
  const answer = new Promise<LookUpAnswer>((resolve, reject) => {
    rejectOnAbort(signal, reject);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('it closed the connection')));
    let received = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      const message = takeMessage(received);
      if (message === null) return;
      const read = readAnswer(message, asked);
      if (read.ok) resolve(read.value);
      else reject(new Error(`its answer is ${read.error}`));
    });
    socket.write(frameMessage(asked.packet));
  });
  return answer.finally(() => socket.destroy());
}

function rejectOnAbort(signal: AbortSignal, reject: (reason: Error) => void): void {
  const abort = (): void => reject(new Error('no answer in time'));
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
}
