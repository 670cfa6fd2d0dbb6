/**
 * The sandbox's side of HTTP/1.1 (RFC 9112): one connection, its requests one after the other.
 *
 * A shell: it owns the socket from here on. Each request is read, decided and answered before the next is looked at;
 * what is pipelined waits. Whatever is not exactly a request is answered with its fault, and ends the connection.
 */
import type { Duplex } from 'node:stream';
import { systemClock } from '../../core/clock.js';
import { ServerConnection } from './server-connection.js';
import { SERVER_LIMITS, type ServerLimits, type ServerOptions } from './server-options.js';

export type { FaultAnswer } from './fault.js';
export type {
  ClaimedRequest,
  ConnectRequest,
  FaultReport,
  ServerLimits,
  ServerOptions,
} from './server-options.js';
export { SERVER_LIMITS } from './server-options.js';

/** Serves `socket` to its end. Resolves when it is closed, or was handed over by an upgrade or a CONNECT. */
export function serveHttp1(socket: Duplex, options: ServerOptions): Promise<void> {
  const limits = options.limits === undefined ? SERVER_LIMITS : limitsOf(options.limits);
  return new ServerConnection(socket, options, limits, options.clock ?? systemClock).run();
}

/** By what they were made of: the connections of one policy share theirs. */
const COMPLETED = new WeakMap<Partial<ServerLimits>, ServerLimits>();

function limitsOf(given: Partial<ServerLimits>): ServerLimits {
  let limits = COMPLETED.get(given);
  if (limits === undefined) {
    limits = { ...SERVER_LIMITS, ...given };
    COMPLETED.set(given, limits);
  }
  return limits;
}
