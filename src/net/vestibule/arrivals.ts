/** Turns accepted sockets into flows (shell: owns the listener). */
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Endpoint } from '../../core/address.js';
import { ignoreErrors } from '../../core/errors.js';
import type { Flow } from '../flow.js';
import type { OriginalTarget } from './original.js';
import { unmapped } from './plain.js';
import type { VestibuleOptions } from './vestibule.js';

/** What a socket may hold in memory in each direction: bulk transfers gain a quarter over Node's 16 KiB. */
const HIGH_WATER_BYTES = 256 * 1024;

export interface Arrivals {
  /** Accepts from the socket that `received` holds, which must not be used again; the result stops that. */
  listen(received: Server): () => void;
  /** Stops listening and resets every connection that is still open. */
  close(): void;
}

type Callbacks = Pick<VestibuleOptions, 'sandbox' | 'nameOf' | 'onFlow' | 'onDnsTcp'>;

const DNS_PORT = 53;

export function createArrivals(targetOf: OriginalTarget, callbacks: Callbacks): Arrivals {
  const servers = new Set<Server>();
  const open = new Places<Socket>();
  let count = 0;
  const arrived = (socket: Socket): void => {
    const place = open.take(socket);
    socket.once('close', () => open.leave(place));
    // Before anybody accepts the flow, too.
    ignoreErrors(socket);
    const source = sourceOf(socket);
    const target = targetOf(socket);
    // Reset by the sandbox before we looked at it: there is nothing left to decide.
    if (source === null || target === null) return void socket.resetAndDestroy();
    count += 1;
    const flow = flowOf(socket, { id: `${callbacks.sandbox}-${count}`, source, target }, callbacks);
    if (target.port === DNS_PORT) callbacks.onDnsTcp(flow);
    else callbacks.onFlow(flow);
  };
  return {
    listen(received) {
      const server = createServer(
        { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES },
        arrived,
      );
      // Out of descriptors: the connection is lost and the next may succeed. Ending the gateway would end them all.
      server.on('error', () => {});
      server.listen(received);
      servers.add(server);
      return () => void (servers.delete(server) && server.close());
    },
    close() {
      for (const server of servers) server.close();
      for (const socket of open.taken) socket?.resetAndDestroy();
    },
  };
}

/** Not a set: its tables, made anew as connections come and go, would keep connections that have long gone. */
class Places<T> {
  readonly taken: (T | null)[] = [];
  readonly #free: number[] = [];

  take(what: T): number {
    const place = this.#free.pop() ?? this.taken.length;
    this.taken[place] = what;
    return place;
  }

  leave(place: number): void {
    this.taken[place] = null;
    this.#free.push(place);
  }
}

function flowOf(
  socket: Socket,
  head: { readonly id: string; readonly source: Endpoint; readonly target: Endpoint },
  { sandbox, nameOf }: Callbacks,
): Flow {
  return {
    ...head,
    sandbox,
    host: nameOf(head.target.address),
    accept: (): Duplex => socket,
    refuse: () => void socket.resetAndDestroy(),
  };
}

function sourceOf({ remoteAddress, remotePort }: Socket): Endpoint | null {
  if (remoteAddress === undefined || remotePort === undefined) return null;
  const address = unmapped(remoteAddress);
  return address === null ? null : { address, port: remotePort };
}
