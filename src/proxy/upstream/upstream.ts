/**
 * The outer door: sends a decided request by the decided name, over a connection of this sandbox alone, and follows
 * nothing. A redirect is an answer like any other.
 */
import assert from 'node:assert';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Endpoint } from '../../core/address.js';
import { type Authority, type Scheme, sameAuthority } from '../../core/authority.js';
import { type Clock, systemClock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import { type Host, hostText } from '../../core/host.js';
import type { Resolver } from '../../dns/resolver.js';
import type { SandboxId } from '../../net/flow.js';
import type { ProxyRoutes, UpstreamProxy } from '../../policy/proxy-routes.js';
import { Canceller, type CancelSignal } from '../cancel.js';
import type { ConnectionAnswer, OutboundRequest } from '../connection.js';
import type { UpstreamAnswer } from '../exchange.js';
import type { DecideDial, Destination, Pin } from './approve.js';
import {
  type ConnectOptions,
  connect,
  type PhaseTimes,
  type ProtocolWish,
  reach,
  UPSTREAM_TIMES,
  type UpstreamTimes,
} from './connect.js';
import { type Dialler, dialTcp } from './dial.js';
import { aborted } from './failure.js';
import { UNPROCESSED } from './h2-stream.js';
import { POOL_LIMITS, Pool, type Pooled, type PoolLimits } from './pool.js';
import type { Trust } from './trust.js';

export interface UpstreamRequest {
  readonly sandbox: SandboxId;
  /** What was decided. `outbound` is for no other. */
  readonly authority: Authority;
  /** Of the policy that decided: no connection serves two. */
  readonly generation: number;
  readonly outbound: OutboundRequest;
  readonly decideDial: DecideDial;
  /** The operator's own address for the host, or null. */
  readonly pin: Pin | null;
  /** The operator's proxies, of the same policy; absent or null: everything is dialled directly. */
  readonly routes?: ProxyRoutes | null;
  /** Told where the request is about to be written, before a byte of it is: an answer may never come. */
  readonly onDialled?: (endpoint: Endpoint) => void;
  /** Written as the phases end. A request over a connection that stood already writes the last one only. */
  readonly phases?: PhaseTimes;
}

export interface TunnelRequest {
  readonly sandbox: SandboxId;
  readonly host: Host;
  readonly port: number;
  readonly decideDial: DecideDial;
  readonly pin: Pin | null;
  readonly routes?: ProxyRoutes | null;
}

export interface Tunnel {
  /** Raw TCP, half-open allowed; the caller owns it. */
  readonly socket: Socket;
  readonly dialled: Endpoint;
}

export interface Upstream {
  /**
   * Resolves with the answer's head; the body may still be on its way. Throws `GatewayError`: DIAL_REFUSED (`cause` is
   * the verdict), RESOLVE_FAILED, GATEWAY_CLOSED, or one of UPSTREAM_* and CLIENT_*.
   */
  send(request: UpstreamRequest, signal: CancelSignal): Promise<UpstreamAnswer>;
  /** A TCP connection for bytes that the gateway does not read. Throws as `send` does. */
  openTunnel(request: TunnelRequest, signal: CancelSignal): Promise<Tunnel>;
  /** Closes the connections of a sandbox that has ended. */
  closeSandbox(sandbox: SandboxId): void;
  /** Closes everything; what is on its way ends with GATEWAY_CLOSED or a truncation. */
  close(): void;
}

export interface UpstreamOptions {
  readonly resolver: Resolver;
  readonly trust: Trust;
  readonly dialler?: Dialler;
  readonly times?: Partial<UpstreamTimes>;
  readonly pool?: Partial<PoolLimits>;
  readonly clock?: Clock;
}

/** The methods that may be sent twice (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

const SWEEP_MS = 5_000;

export function createUpstream(options: UpstreamOptions): Upstream {
  return new PooledUpstream(options);
}

class PooledUpstream implements Upstream {
  readonly #connecting: ConnectOptions;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #keys = new Keys();
  /** Connections on their way, so that `close` can stop them. */
  readonly #openings = new Set<AbortController>();
  /** HTTP/2 connections on their way: many requests at once make one. */
  readonly #shared = new Map<string, Promise<void>>();
  #sweeper: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(options: UpstreamOptions) {
    const times = { ...UPSTREAM_TIMES, ...options.times };
    const { resolver, trust, dialler = dialTcp } = options;
    this.#clock = options.clock ?? systemClock;
    this.#connecting = { clock: this.#clock, resolver, trust, dialler, times };
    this.#pool = new Pool({ ...POOL_LIMITS, ...options.pool });
  }

  async send(request: UpstreamRequest, signal: CancelSignal): Promise<UpstreamAnswer> {
    const { outbound, phases } = request;
    const { authority } = outbound.head;
    if (request.authority !== authority) {
      assert(sameAuthority(request.authority, authority), 'the request is for the authority decided on');
    }
    const key = this.#keys.of(request);
    for (let attempt = 0; ; attempt++) {
      if (signal.aborted) throw aborted(signal);
      // A second attempt goes over a new connection, whose addresses are asked about again.
      const asked = this.#clock.monotonic();
      const reused = attempt === 0 ? this.#pool.take(key, asked) : null;
      const entry = reused ?? (await this.#open(request, key, signal));
      request.onDialled?.(entry.dialled);
      const start = reused === null ? this.#clock.monotonic() : asked;
      try {
        const answer = await entry.connection.send(outbound, signal);
        const answeredAt = this.#clock.monotonic();
        if (phases !== undefined) phases.firstByteMs = answeredAt - start;
        return this.#answered(entry, answer, answeredAt);
      } catch (error) {
        this.#release(entry, this.#clock.monotonic());
        if (attempt > 0 || !mayRepeat(error, outbound, reused !== null)) throw error;
      }
    }
  }

  async openTunnel(request: TunnelRequest, signal: CancelSignal): Promise<Tunnel> {
    const proxy = proxyOf(request.routes, 'https', request);
    const { socket, endpoint } = await this.#whileOpen(signal, opening =>
      reach(request, proxy, this.#connecting, null, opening),
    );
    return { socket, dialled: endpoint };
  }

  closeSandbox(sandbox: SandboxId): void {
    this.#pool.closeSandbox(sandbox);
  }

  close(): void {
    this.#isClosed = true;
    for (const opening of this.#openings) opening.abort(gatewayClosed());
    this.#pool.close();
    this.#stopSweeping();
  }

  #answered(entry: Pooled, answer: ConnectionAnswer, now: number): UpstreamAnswer {
    const { body, upgraded } = answer;
    if (upgraded) this.#pool.forget(entry);
    else if (body instanceof Readable)
      body.once('close', () => this.#release(entry, this.#clock.monotonic()));
    else this.#release(entry, now);
    return {
      head: answer.head,
      body,
      trailers: answer.trailers,
      protocol: answer.protocol,
      bytes: answer.bytes,
      upgraded,
      dialled: entry.dialled,
    };
  }

  async #open(request: UpstreamRequest, key: string, signal: CancelSignal): Promise<Pooled> {
    if (wishOf(request) === 'http/1.1') return this.#connect(request, key, signal);
    let opening = this.#shared.get(key);
    if (opening === undefined) {
      // Nobody's signal: whoever asked first may leave while others wait.
      opening = this.#connect(request, key, new Canceller())
        .then(entry => this.#release(entry, this.#clock.monotonic()))
        .finally(() => this.#shared.delete(key));
      this.#shared.set(key, opening);
    }
    await abandonable(opening, signal);
    // Null where the upstream chose HTTP/1.1 and somebody else has that connection, or its streams are used up.
    return this.#pool.take(key, this.#clock.monotonic()) ?? this.#connect(request, key, signal);
  }

  async #connect(request: UpstreamRequest, key: string, signal: CancelSignal): Promise<Pooled> {
    const { authority, sandbox, decideDial, pin } = request;
    const destination = { host: authority.host, port: authority.port, decideDial, pin };
    const proxy = proxyOf(request.routes, authority.scheme, destination);
    const { connection, dialled, socket } = await this.#whileOpen(signal, opening =>
      connect(
        authority,
        wishOf(request),
        destination,
        proxy,
        this.#connecting,
        request.phases ?? null,
        opening,
      ),
    );
    if (this.#isClosed) {
      connection.close();
      throw gatewayClosed();
    }
    const entry = this.#pool.add({ key, sandbox, connection, dialled, openedAt: this.#clock.monotonic() });
    socket.once('close', () => this.#pool.forget(entry));
    return entry;
  }

  /** Runs `work` with a signal that fires when the caller leaves or the gateway closes. */
  async #whileOpen<T>(signal: CancelSignal, work: (opening: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw gatewayClosed();
    const opening = new AbortController();
    const onAbort = (): void => opening.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    this.#openings.add(opening);
    try {
      return await work(opening.signal);
    } finally {
      this.#openings.delete(opening);
      signal.removeEventListener('abort', onAbort);
    }
  }

  #release(entry: Pooled, now: number): void {
    this.#pool.release(entry, now);
    if (this.#sweeper !== null || this.#pool.idleCount === 0) return;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  #sweep(): void {
    this.#pool.sweep(this.#clock.monotonic());
    if (this.#pool.idleCount === 0) this.#stopSweeping();
  }

  #stopSweeping(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }
}

/** Names who may share a connection, and remembers the last name: on a kept connection it is the next one's too. */
class Keys {
  #authority: Authority | null = null;
  #sandbox: SandboxId = '';
  #generation = 0;
  #wish: ProtocolWish = 'http/1.1';
  #key = '';

  of(request: UpstreamRequest): string {
    const { authority, sandbox, generation } = request;
    const wish = wishOf(request);
    const known = this.#authority;
    if (
      known === null ||
      (authority !== known && !sameAuthority(authority, known)) ||
      sandbox !== this.#sandbox ||
      generation !== this.#generation ||
      wish !== this.#wish
    ) {
      this.#authority = authority;
      this.#sandbox = sandbox;
      this.#generation = generation;
      this.#wish = wish;
      const { scheme, host, port } = authority;
      // The sandbox stands last: it is the only part that is not of a known alphabet.
      this.#key = `${scheme} ${hostText(host)} ${port} ${wish} ${generation} ${sandbox}`;
    }
    return this.#key;
  }
}

function wishOf({ authority, outbound }: UpstreamRequest): ProtocolWish {
  return authority.scheme === 'https' && outbound.head.version === '2' ? 'h2' : 'http/1.1';
}

/** A pin is the operator's word on where the host is, and needs no proxy to find it. */
function proxyOf(
  routes: ProxyRoutes | null | undefined,
  scheme: Scheme,
  { host, pin }: Destination,
): UpstreamProxy | null {
  if (!routes || pin !== null || routes.bypass(host)) return null;
  return routes[scheme];
}

/**
 * True where the upstream cannot have acted on the request, or acting twice is acting once. A body that is a stream is
 * gone once it was read.
 */
function mayRepeat(error: unknown, { head, body }: OutboundRequest, reused: boolean): boolean {
  if (!(error instanceof GatewayError) || error.code !== 'UPSTREAM_UNREACHABLE') return false;
  if (body instanceof Readable) return false;
  return error.cause === UNPROCESSED || (reused && IDEMPOTENT.has(head.method));
}

/** `promise`, or the caller's leaving, whichever is first. */
function abandonable<T>(promise: Promise<T>, signal: CancelSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(aborted(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function gatewayClosed(): GatewayError {
  return new GatewayError('GATEWAY_CLOSED', 'the gateway is closing');
}
