/**
 * What a connection to an upstream is used with. Types and defaults only.
 */
import type { Clock } from '../../core/clock.js';
import { HEAD_LIMITS, type HeadLimits } from './head-scan.js';

export interface ClientLimits extends HeadLimits {
  /** From the request's last byte to the end of the answer's head. */
  readonly headMs: number;
  /** Without a byte of content while one is waited for, or while the upstream does not read. */
  readonly contentIdleMs: number;
  /** Interim answers to one request. */
  readonly interim: number;
}

export const CLIENT_LIMITS: ClientLimits = {
  ...HEAD_LIMITS,
  headMs: 60_000,
  contentIdleMs: 300_000,
  interim: 10,
};

export interface ClientOptions {
  readonly limits?: Partial<ClientLimits>;
  readonly clock?: Clock;
  /** The connection may take the next request. */
  readonly onReady?: () => void;
  /** It will never take one again. */
  readonly onClosed?: () => void;
}
