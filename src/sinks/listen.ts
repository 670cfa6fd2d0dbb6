/**
 * A server of ours, for this host alone: a unix socket of mode 0600, or a port on loopback. A shell: sockets, files.
 *
 * A socket that a crash left behind is replaced; one that somebody listens on is not.
 */
import { once } from 'node:events';
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { type AddressInfo, connect, type Server } from 'node:net';
import { type Endpoint, parseAddress } from '../core/address.js';
import { errorCode, GatewayError } from '../core/errors.js';
import type { Listen } from './values.js';

export interface Listening {
  /** Null for a unix socket. */
  readonly endpoint: Endpoint | null;
  /** Ends the listening, and removes the socket; connections are the caller's. */
  close(): Promise<void>;
}

/** Throws `EVENTS_FAILED`. */
export async function listenOn(server: Server, where: Listen): Promise<Listening> {
  try {
    return where.kind === 'unix' ? await onSocket(server, where.path) : await onPort(server, where);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    const place = where.kind === 'unix' ? where.path : `${where.address}:${where.port}`;
    throw new GatewayError('EVENTS_FAILED', `cannot listen on ${place} (${errorCode(error)})`, {
      cause: error,
    });
  }
}

async function onPort(
  server: Server,
  { address, port }: Extract<Listen, { kind: 'tcp' }>,
): Promise<Listening> {
  server.listen(port, address);
  await once(server, 'listening');
  const bound = server.address() as AddressInfo;
  const parsed = parseAddress(bound.address);
  const endpoint = parsed.ok ? { address: parsed.value, port: bound.port } : null;
  return { endpoint, close: () => closed(server) };
}

async function onSocket(server: Server, path: string): Promise<Listening> {
  await removeStale(path);
  // Bound within the call: nobody else's file is made under this mask, and nobody can connect before it is ours alone.
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await once(server, 'listening');
  chmodSync(path, 0o600);
  // Node removes the socket when the server closes.
  return { endpoint: null, close: () => closed(server) };
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) {
      throw new GatewayError('EVENTS_FAILED', `${path} is there and is no socket; name another path`);
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  if (await isAnswered(path)) {
    throw new GatewayError('EVENTS_FAILED', `${path} is in use by another process`);
  }
  unlinkSync(path);
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (errorCode(error) === 'ECONNREFUSED') return false;
    throw error;
  } finally {
    socket.destroy();
  }
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>(resolve => server.close(() => resolve()));
}
