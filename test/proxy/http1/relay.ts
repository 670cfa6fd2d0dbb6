/** Server side and client side back to back: a guest, the relay, and a raw upstream, on real loopback sockets. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { authorityText } from '../../../src/core/authority.js';
import { errorCode } from '../../../src/core/errors.js';
import type { ConnectionAnswer, OutboundRequest } from '../../../src/proxy/connection.js';
import type { Exchange } from '../../../src/proxy/exchange.js';
import { type ClientOptions, Http1Connection } from '../../../src/proxy/http1/client.js';
import { type ServerOptions, serveHttp1 } from '../../../src/proxy/http1/server.js';
import { answer, facts } from './harness.js';

export interface Upstream {
  readonly port: number;
  /** How many connections were made. */
  readonly connections: () => number;
  close(): void;
}

export async function rawUpstream(onSocket: (socket: Socket) => void): Promise<Upstream> {
  let connections = 0;
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, socket => {
    connections += 1;
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, connections: () => connections, close };
}

export function outboundOf(exchange: Exchange, more: Partial<OutboundRequest> = {}): OutboundRequest {
  const { head, body, trailers } = exchange.request;
  return {
    head,
    headers: head.headers,
    sensitive: new Set(),
    path: head.path,
    host: authorityText(head.authority),
    body,
    trailers,
    inform: (status, headers) => exchange.inform(status, headers),
    ...more,
  };
}

/** Relays every exchange to `port`, over a connection that is kept where it may be. */
export function relayOptions(
  port: number,
  client: ClientOptions = {},
  server: Partial<ServerOptions> = {},
): ServerOptions {
  let kept: Http1Connection | null = null;
  const connection = async (): Promise<Http1Connection> => {
    if (kept?.ready) return kept;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    await once(socket, 'connect');
    kept = new Http1Connection(socket, client);
    return kept;
  };
  const onExchange = async (exchange: Exchange): Promise<void> => {
    let got: ConnectionAnswer;
    try {
      got = await (await connection()).send(outboundOf(exchange), exchange.signal);
    } catch (error) {
      const status = errorCode(error) === 'UPSTREAM_TIMEOUT' ? 504 : 502;
      return exchange.respond(answer(status, errorCode(error)));
    }
    if (got.upgraded === null) return exchange.respond(got);
    const guest = exchange.upgrade(got.head.headers);
    guest.pipe(got.upgraded).pipe(guest);
    guest.on('close', () => got.upgraded?.destroy());
    got.upgraded.on('error', () => guest.destroy());
    got.upgraded.on('close', () => guest.destroy());
  };
  return { ...facts('transparent', null), onExchange, onFault: () => null, ...server };
}

export interface Relay {
  readonly port: number;
  close(): void;
}

/** A listening relay, for clients that want to dial. */
export async function listenRelay(options: ServerOptions): Promise<Relay> {
  const listener = await rawUpstream(socket => {
    socket.setNoDelay(true);
    void serveHttp1(socket, options);
  });
  return { port: listener.port, close: listener.close };
}
