/**
 * One connection to the decided authority: reached, verified against the same name, and given to the client of the
 * protocol that was agreed on. A shell by what it calls.
 */

import type { Socket } from 'node:net';
import type { Endpoint } from '../../core/address.js';
import { type Authority, authorityText } from '../../core/authority.js';
import type { Resolver } from '../../dns/resolver.js';
import type { HttpConnection } from '../connection.js';
import { Http1Connection } from '../http1/client.js';
import { approve, type Destination } from './approve.js';
import { connectFirst, type Dialled, type Dialler, type DialTimes } from './dial.js';
import { Http2Connection } from './h2-client.js';
import type { AnswerTimes } from './h2-stream.js';
import { secure, type Trust } from './trust.js';

export interface UpstreamTimes extends DialTimes, AnswerTimes {
  readonly handshakeMs: number;
}

export const UPSTREAM_TIMES: UpstreamTimes = {
  connectMs: 10_000,
  attemptMs: 250,
  handshakeMs: 10_000,
  headMs: 120_000,
  idleMs: 300_000,
};

/** `h2` is offered only for a request that came by HTTP/2: nobody gains from a translation that nobody asked for. */
export type ProtocolWish = 'http/1.1' | 'h2';

const OFFERS: Readonly<Record<ProtocolWish, readonly string[]>> = {
  'http/1.1': ['http/1.1'],
  h2: ['h2', 'http/1.1'],
};

/** Makes a TCP connection to `destination`: directly, or through a proxy of the operator's. */
export type Reach = (destination: Destination, signal: AbortSignal) => Promise<Dialled>;

/** Looks up, asks about every address, dials the first that answers. */
export function reachDirectly(resolver: Resolver, dialler: Dialler, times: DialTimes): Reach {
  return async (destination, signal) => {
    const endpoints = await approve(destination, resolver, signal);
    return connectFirst(endpoints, dialler, times, signal);
  };
}

export interface ConnectOptions {
  readonly reach: Reach;
  readonly trust: Trust;
  readonly times: UpstreamTimes;
}

export interface Connected {
  readonly connection: HttpConnection;
  readonly dialled: Endpoint;
  /** For its 'close'; `connection` owns it. */
  readonly socket: Socket;
}

/**
 * A connection for requests to `authority`. Throws `GatewayError`: RESOLVE_FAILED, DIAL_REFUSED, UPSTREAM_UNREACHABLE,
 * UPSTREAM_UNTRUSTED, CLIENT_ABORTED.
 */
export async function connect(
  authority: Authority,
  wish: ProtocolWish,
  destination: Destination,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connected> {
  const { times, trust } = options;
  const { socket, endpoint } = await options.reach(destination, signal);
  if (authority.scheme === 'http')
    return { connection: speakHttp1(socket, times), dialled: endpoint, socket };
  const handshake = { host: authority.host, alpn: OFFERS[wish], timeoutMs: times.handshakeMs };
  const secured = await secure(socket, trust, handshake, signal);
  const connection =
    secured.alpnProtocol === 'h2'
      ? new Http2Connection(secured, authorityText(authority), times)
      : speakHttp1(secured, times);
  return { connection, dialled: endpoint, socket: secured };
}

function speakHttp1(socket: Socket, { headMs, idleMs }: AnswerTimes): HttpConnection {
  return new Http1Connection(socket, { limits: { headMs, contentIdleMs: idleMs } });
}
