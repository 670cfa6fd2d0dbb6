/**
 * TCP to the first of several endpoints that answers (RFC 8305, without its history).
 *
 * Only addresses are dialled: a host string never reaches `net.connect`, which would truncate it at a NUL and read
 * `0x7f.1` as an address. A shell: sockets and timers.
 */
import net from 'node:net';
import { type Endpoint, endpointText } from '../../core/address.js';
import { errorCode, type GatewayError } from '../../core/errors.js';
import { aborted, unreachable } from './failure.js';

/** Begins to connect. The socket must keep half-closed connections open (`allowHalfOpen`): a tunnel needs it. */
export type Dialler = (endpoint: Endpoint) => net.Socket;

export interface DialTimes {
  /** For all attempts together. */
  readonly connectMs: number;
  /** How long one attempt has the field to itself (RFC 8305 §5). */
  readonly attemptMs: number;
}

export interface Dialled {
  readonly socket: net.Socket;
  readonly endpoint: Endpoint;
}

/** Read in pieces of this size at most: larger than Node's own, which costs a quarter of a download's speed. */
export const READ_BYTES = 262_144;

export function dialTcp({ address, port }: Endpoint): net.Socket {
  return net.connect({
    host: address.text,
    port,
    family: address.family,
    lookup: neverLookUp,
    autoSelectFamily: false,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    highWaterMark: READ_BYTES,
  } as net.TcpNetConnectOpts);
}

function neverLookUp(hostname: string): never {
  throw new TypeError(`not an address: ${JSON.stringify(hostname)}`);
}

/**
 * The first endpoint that accepts; every other attempt is closed. The caller owns the socket.
 * Throws `GatewayError`: UPSTREAM_UNREACHABLE or CLIENT_ABORTED.
 */
export function connectFirst(
  endpoints: readonly Endpoint[],
  dialler: Dialler,
  times: DialTimes,
  signal: AbortSignal,
): Promise<Dialled> {
  if (signal.aborted) return Promise.reject(aborted(signal));
  return new Promise((resolve, reject) => {
    new Race(interleaved(endpoints), dialler, times, signal, resolve, reject).start();
  });
}

/** Families in turn, beginning with the resolver's first (RFC 8305 §4): a broken family costs one attempt, not many. */
export function interleaved(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const family = endpoints[0]?.address.family;
  const first = endpoints.filter(({ address }) => address.family === family);
  const second = endpoints.filter(({ address }) => address.family !== family);
  const order: Endpoint[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    for (const endpoint of [first[i], second[i]]) if (endpoint) order.push(endpoint);
  }
  return order;
}

class Race {
  readonly #waiting: Endpoint[];
  readonly #dialler: Dialler;
  readonly #signal: AbortSignal;
  readonly #attempts = new Set<net.Socket>();
  readonly #resolve: (dialled: Dialled) => void;
  readonly #reject: (error: GatewayError) => void;
  readonly #deadline: NodeJS.Timeout;
  readonly #pace: NodeJS.Timeout;
  readonly #target: string;
  #lastError: unknown = null;

  constructor(
    endpoints: readonly Endpoint[],
    dialler: Dialler,
    times: DialTimes,
    signal: AbortSignal,
    resolve: (dialled: Dialled) => void,
    reject: (error: GatewayError) => void,
  ) {
    this.#waiting = [...endpoints];
    this.#dialler = dialler;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#target = endpoints.slice(0, 4).map(endpointText).join(', ');
    this.#deadline = setTimeout(() => this.#fail('no answer in time'), times.connectMs);
    this.#pace = setTimeout(() => this.#next(), times.attemptMs);
  }

  start(): void {
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#next();
  }

  readonly #onAbort = (): void => this.#end(() => this.#reject(aborted(this.#signal)));

  #next(): void {
    const endpoint = this.#waiting.shift();
    if (endpoint === undefined) {
      if (this.#attempts.size === 0) this.#fail(errorCode(this.#lastError));
      return;
    }
    this.#pace.refresh();
    const socket = this.#dialler(endpoint);
    this.#attempts.add(socket);
    const onError = (error: Error): void => {
      if (!this.#attempts.delete(socket)) return;
      this.#lastError = error;
      socket.destroy();
      this.#next();
    };
    // It stays, for losers and for the winner's way to its owner: an error that nobody hears would end the process.
    socket.on('error', onError);
    socket.once('connect', () => {
      if (!this.#attempts.delete(socket)) return;
      this.#end(() => this.#resolve({ socket, endpoint }));
    });
  }

  #fail(why: string): void {
    this.#end(() => this.#reject(unreachable(this.#target, why, this.#lastError)));
  }

  #end(settle: () => void): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#pace);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#waiting.length = 0;
    for (const socket of this.#attempts) socket.destroy();
    this.#attempts.clear();
    settle();
  }
}
