/**
 * One connection to the decided authority: reached, verified against the same name, and given to the client of the
 * protocol that was agreed on. A shell by what it calls.
 */

import type { Socket } from 'node:net';
import type { Endpoint } from '../../core/address.js';
import { type Authority, authorityText } from '../../core/authority.js';
import type { Clock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import type { Resolver } from '../../dns/resolver.js';
import type { UpstreamProxy } from '../../policy/proxy-routes.js';
import type { HttpConnection } from '../connection.js';
import { Http1Connection } from '../http1/client.js';
import { approve, type Destination } from './approve.js';
import { connectFirst, type Dialled, type Dialler, type DialTimes } from './dial.js';
import { Http2Connection } from './h2-connection.js';
import type { AnswerTimes } from './h2-stream.js';
import { secure, type Trust } from './trust.js';
import { reachThrough } from './via-proxy.js';

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

/** How long each phase of one request took, in milliseconds; null: it did not happen. Whoever asks owns it. */
export interface PhaseTimes {
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
  firstByteMs: number | null;
}

/** What it takes to make a TCP connection. */
export interface Dialling {
  readonly clock: Clock;
  readonly resolver: Resolver;
  readonly dialler: Dialler;
  readonly times: UpstreamTimes;
}

/**
 * Through `proxy`, or (null) directly: looks up, asks about every address, dials the first that answers. A phase that
 * fails has its time in `phases` too.
 */
export async function reach(
  destination: Destination,
  proxy: UpstreamProxy | null,
  dialling: Dialling,
  phases: PhaseTimes | null,
  signal: AbortSignal,
): Promise<Dialled> {
  const { clock, resolver, dialler, times } = dialling;
  const start = clock.monotonic();
  let connectStart = start;
  const looksUp = proxy === null && destination.pin === null && destination.host.kind === 'name';
  try {
    if (proxy !== null) return await reachThrough(proxy, destination, dialling, signal);
    const endpoints = await approve(destination, resolver, signal).finally(() => {
      if (!looksUp) return;
      connectStart = clock.monotonic();
      if (phases !== null) phases.dnsMs = connectStart - start;
    });
    return await connectFirst(endpoints, dialler, times, signal);
  } finally {
    if (phases !== null) phases.connectMs = clock.monotonic() - connectStart;
  }
}

export interface ConnectOptions extends Dialling {
  readonly trust: Trust;
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
  proxy: UpstreamProxy | null,
  options: ConnectOptions,
  phases: PhaseTimes | null,
  signal: AbortSignal,
): Promise<Connected> {
  const { clock, times, trust } = options;
  const { socket, endpoint } = await reach(destination, proxy, options, phases, signal);
  if (authority.scheme === 'http')
    return { connection: speakHttp1(socket, times), dialled: endpoint, socket };
  if (socket.readableLength > 0) {
    // Node would lose bytes that were read before the handshake, and a TLS server has nothing to say before it.
    socket.destroy();
    throw new GatewayError('UPSTREAM_PROTOCOL', `${authorityText(authority)} spoke before the TLS handshake`);
  }
  const handshake = { host: authority.host, alpn: OFFERS[wish], timeoutMs: times.handshakeMs };
  const start = clock.monotonic();
  const secured = await secure(socket, trust, handshake, signal).finally(() => {
    if (phases !== null) phases.tlsMs = clock.monotonic() - start;
  });
  const connection =
    secured.alpnProtocol === 'h2'
      ? new Http2Connection(secured, authorityText(authority), times, options.clock)
      : speakHttp1(secured, times);
  return { connection, dialled: endpoint, socket: secured };
}

function speakHttp1(socket: Socket, { headMs, idleMs }: AnswerTimes): HttpConnection {
  return new Http1Connection(socket, { limits: { headMs, contentIdleMs: idleMs } });
}
