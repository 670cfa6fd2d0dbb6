/** What the HTTP/2 side is told by whoever starts it, and the limits that it keeps to. */
import type { Clock } from '../../core/clock.js';
import type { Exchange } from '../exchange.js';
import type { ConnectionFacts } from '../http1/authority.js';
import type { FaultAnswer, FaultReport } from '../http1/server.js';
import type { SessionFault } from './frame-payload.js';

export interface Http2Limits {
  /** Streams that may be open at a time (SETTINGS_MAX_CONCURRENT_STREAMS). */
  readonly streams: number;
  /** Bytes of a field list, counted as RFC 9113 §6.5.2 does. */
  readonly headBytes: number;
  readonly fields: number;
  /** From the first byte of a head to its last, and to the client's first SETTINGS. */
  readonly headMs: number;
  /** Without a stream. */
  readonly keepAliveMs: number;
  /** Without a byte of content while one is waited for, or while the sandbox takes none. */
  readonly contentIdleMs: number;
  /** Most content of one request, in bytes. */
  readonly contentBytes: number;
}

export const HTTP2_LIMITS: Http2Limits = {
  streams: 100,
  headBytes: 64 * 1024,
  fields: 200,
  headMs: 30_000,
  keepAliveMs: 120_000,
  contentIdleMs: 60_000,
  contentBytes: Number.POSITIVE_INFINITY,
};

export interface Http2Options extends Omit<ConnectionFacts, 'mode'> {
  /** Settles when the exchange has ended. A rejection resets its stream. Up to `limits.streams` run at a time. */
  onExchange(exchange: Exchange): Promise<void>;
  /** Told of each request that is none; gives the JSON content of its answer. Malformed ones are reset instead. */
  onFault(fault: FaultReport): FaultAnswer;
  /** Told why the connection is ended, if the client broke the protocol or a budget. */
  onSessionFault?(fault: SessionFault): void;
  readonly limits?: Partial<Http2Limits>;
  readonly clock?: Clock;
}
