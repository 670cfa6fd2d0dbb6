/**
 * One connection to an upstream that is already dialled and, for https, verified: what `http1` and `http2` make,
 * and what the pool keeps. Whoever holds one may send requests of the one authority that it was dialled for.
 */
import type { HeaderList } from '../core/headers.js';
import type { CancelSignal } from './cancel.js';
import type { Body, RequestHead, UpstreamAnswer } from './exchange.js';

/** A request as it leaves: decided, with its secrets in. The connection writes Host (`:authority`) and the framing itself. */
export interface OutboundRequest {
  /** Method, authority, framing, upgrade and `wantsTrailers` are taken from here; its fields and path are not. */
  readonly head: RequestHead;
  /** The final end-to-end fields. */
  readonly headers: HeaderList;
  /** Lower-case names of the fields that carry a secret's value: never indexed by HPACK (RFC 7541 §7.1.3). */
  readonly sensitive: ReadonlySet<string>;
  /** The final origin-form. */
  readonly path: string;
  /** What is written as Host or `:authority`: `authorityText` of the decided authority. */
  readonly host: string;
  readonly body: Body;
  /** Complete once `body` has ended. */
  readonly trailers: () => HeaderList;
  /** Called for each interim answer but 100 and 101. */
  readonly inform: (status: number, headers: HeaderList) => void;
}

export type ConnectionAnswer = Omit<UpstreamAnswer, 'dialled'>;

export interface HttpConnection {
  readonly protocol: 'http/1.1' | 'h2';
  /** May take a request now. */
  readonly ready: boolean;
  readonly closed: boolean;
  /**
   * Resolves with the answer's head; its body may still be on the way. Rejects with `GatewayError`:
   * UPSTREAM_PROTOCOL, UPSTREAM_TRUNCATED, UPSTREAM_TIMEOUT, UPSTREAM_UNREACHABLE or CLIENT_ABORTED (`signal`).
   */
  send(request: OutboundRequest, signal: CancelSignal): Promise<ConnectionAnswer>;
  close(): void;
}
