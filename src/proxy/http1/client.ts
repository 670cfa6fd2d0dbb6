/**
 * The upstream's side of HTTP/1.1 (RFC 9112): a connection that is dialled and verified, one request at a time.
 *
 * A shell: it owns the socket from here on. It is used again only after an exchange that left no doubt about where
 * the next answer begins; anything unasked for closes it.
 */

import type { Duplex } from 'node:stream';
import { systemClock } from '../../core/clock.js';
import { GatewayError } from '../../core/errors.js';
import type { CancelSignal } from '../cancel.js';
import type { ConnectionAnswer, HttpConnection, OutboundRequest } from '../connection.js';
import { ClientExchange, type ClientLine } from './client-exchange.js';
import { CLIENT_LIMITS, type ClientLimits, type ClientOptions } from './client-options.js';
import { Deadline } from './deadline.js';
import { FieldReader } from './fields.js';

export type { ClientLimits, ClientOptions } from './client-options.js';
export { CLIENT_LIMITS } from './client-options.js';

export class Http1Connection implements HttpConnection, ClientLine {
  readonly protocol = 'http/1.1';
  readonly socket: Duplex;
  readonly limits: ClientLimits;
  readonly deadline: Deadline;
  readonly fields: FieldReader;
  readonly #options: ClientOptions;
  readonly #writeDeadline: Deadline;
  #exchange: ClientExchange | null = null;
  #state: 'ready' | 'busy' | 'closed' = 'ready';

  constructor(socket: Duplex, options: ClientOptions = {}) {
    const clock = options.clock ?? systemClock;
    this.socket = socket;
    this.limits = { ...CLIENT_LIMITS, ...options.limits };
    this.fields = new FieldReader(this.limits.fields);
    this.#options = options;
    this.deadline = new Deadline(clock, () => this.#exchange?.expired());
    this.#writeDeadline = new Deadline(clock, () => this.#exchange?.expired());
    // `close` follows every error.
    socket.on('error', this.#onError).on('close', this.#onClose);
    socket.on('data', this.#onData).on('end', this.#onEnd).on('drain', this.#onDrain);
    if (socket.destroyed) this.#onClose();
  }

  get ready(): boolean {
    return this.#state === 'ready';
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  send(request: OutboundRequest, signal: CancelSignal): Promise<ConnectionAnswer> {
    if (this.#state !== 'ready') {
      return Promise.reject(
        new GatewayError('UPSTREAM_UNREACHABLE', 'the connection to the upstream is not free'),
      );
    }
    this.#state = 'busy';
    const exchange = new ClientExchange(this, request, signal);
    this.#exchange = exchange;
    return exchange.start();
  }

  close(): void {
    if (this.#state === 'ready') this.socket.end();
    this.#shut();
    this.socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    // An answer that nobody asked for would be taken for the next request's (RFC 9112 §9.2).
    if (this.#exchange === null) this.close();
    else this.#exchange.take(chunk);
  };

  readonly #onEnd = (): void => {
    if (this.#exchange === null) this.close();
    else this.#exchange.inputEnded();
  };

  readonly #onDrain = (): void => this.#writeDeadline.clear();

  readonly #onError = (error: Error): void => this.#exchange?.broken(error);

  readonly #onClose = (): void => {
    this.#exchange?.broken(null);
    this.#exchange = null;
    this.#shut();
  };

  #shut(): void {
    this.deadline.close();
    this.#writeDeadline.close();
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#options.onClosed?.();
  }

  // What a ClientExchange asks of its line.

  stalled(): void {
    this.#writeDeadline.set(this.limits.contentIdleMs);
  }

  /** The exchange is over; `reusable`: the next byte would be the next answer's. */
  released(reusable: boolean): void {
    this.#exchange = null;
    this.deadline.clear();
    if (!reusable || this.#state !== 'busy') {
      this.close();
      return;
    }
    this.#state = 'ready';
    if (this.socket.isPaused()) this.socket.resume();
    this.#options.onReady?.();
  }

  detach(rest: Buffer): Duplex {
    const { socket } = this;
    socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('drain', this.#onDrain)
      .off('close', this.#onClose);
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    this.#exchange = null;
    this.#shut();
    return socket;
  }
}
