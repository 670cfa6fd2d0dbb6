/**
 * What a connection from a sandbox is served with. Types and defaults only.
 */
import type { Duplex } from 'node:stream';
import type { Authority } from '../../core/authority.js';
import type { Clock } from '../../core/clock.js';
import type { CancelSignal } from '../cancel.js';
import type { Exchange } from '../exchange.js';
import type { ConnectionFacts } from './authority.js';
import type { FaultAnswer, RequestFault } from './fault.js';
import { HEAD_LIMITS, type HeadLimits } from './head-scan.js';

export interface ServerLimits extends HeadLimits {
  /** From the first byte of a head to its last, however it trickles. */
  readonly headMs: number;
  /** Between an answer and the next request. */
  readonly keepAliveMs: number;
  /** Without a byte of content while one is waited for, or while the sandbox does not read. */
  readonly contentIdleMs: number;
  /** How long an answer is still worked on for a sandbox that has closed its side. */
  readonly halfClosedMs: number;
  /** How long input is discarded after the last answer, so that the sandbox can read it. */
  readonly lingerMs: number;
  /** Most content of one request, in bytes. */
  readonly contentBytes: number;
}

export const SERVER_LIMITS: ServerLimits = {
  ...HEAD_LIMITS,
  headMs: 30_000,
  keepAliveMs: 60_000,
  contentIdleMs: 60_000,
  halfClosedMs: 5_000,
  lingerMs: 1_000,
  contentBytes: Number.POSITIVE_INFINITY,
};

/** What a request that is none claimed to be: text of the sandbox, cut to 256 characters, for the event only. */
export interface ClaimedRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
}

export interface FaultReport extends RequestFault {
  /** Null when not even a request line was there. */
  readonly claimed: ClaimedRequest | null;
  /** True when the fault was in the content of an exchange that `onExchange` has: its handler reports it. */
  readonly inExchange: boolean;
}

/**
 * For a connection that may speak something else. Until its first bytes are judged, an end or a silence ends it without a
 * word.
 */
export interface Opening {
  /** Null: more bytes are needed. It must come to an answer within a bounded number of them. */
  isHttp(bytes: Buffer): boolean | null;
  /** Told once, before the first request or fault. */
  onHttp(): void;
  /** Told once; the connection is destroyed then. */
  onOther(): void;
  /** How long a client may keep silent, in milliseconds. */
  readonly silenceMs: number;
}

/** A CONNECT of mode `proxy`. Exactly one of `accept` and `refuse` is called, once. */
export interface ConnectRequest {
  readonly authority: Authority;
  /** Bytes of the head on the wire. */
  readonly headBytes: number;
  /** Says 200 and gives the raw bytes, those included that came behind the head. */
  accept(): Duplex;
  refuse(status: number, content: Uint8Array): void;
  readonly signal: CancelSignal;
}

export interface ServerOptions extends ConnectionFacts {
  /** Settles when the exchange has ended; the next request is read then. A rejection ends the connection. */
  onExchange(exchange: Exchange): Promise<void>;
  /** Mode `proxy` only; absent: CONNECT is answered with 405. */
  onConnect?(request: ConnectRequest): Promise<void>;
  /** Absent: whatever comes is meant as HTTP. */
  readonly opening?: Opening;
  /** Told of each fault; gives its answer. */
  onFault(fault: FaultReport): FaultAnswer;
  readonly limits?: Partial<ServerLimits>;
  readonly clock?: Clock;
}
