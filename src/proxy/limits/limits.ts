/**
 * The policy's `limits:` of one sandbox that count something: bytes and requests a second, open connections.
 *
 * What is not limited costs a comparison with null: `pace` gives back the stream that it was given.
 */
import type { Duplex } from 'node:stream';
import type { Clock } from '../../core/clock.js';
import { createTokenBucket, type TokenBucket } from '../../core/token-bucket.js';
import type { CancelSignal } from '../cancel.js';
import { PacedStream } from './paced-stream.js';
import { createPacer, type Pacer, type Schedule, schedule } from './pacer.js';
import { createShares, type Shares, type Work } from './shares.js';

/** Null: no limit. Every number is above zero. */
export interface LimitSettings {
  /** Bytes a second from the sandbox outwards, all its flows together. */
  readonly maxEgressBps: number | null;
  /** Bytes a second to the sandbox. */
  readonly maxIngressBps: number | null;
  /** Flows open at a time. */
  readonly maxConnections: number | null;
  /** Of all flows together; a second's worth may come at once. */
  readonly requestsPerSecond: number | null;
}

export const NO_LIMITS: LimitSettings = {
  maxEgressBps: null,
  maxIngressBps: null,
  maxConnections: null,
  requestsPerSecond: null,
};

export interface Limits {
  /** Counts one flow: call what it gives back, once, when the flow has ended. Null: there are too many. */
  admitFlow(): (() => void) | null;
  /** False: this request comes over the rate. */
  admitRequest(): boolean;
  /**
   * Asked for each request that was admitted, while others have work, too. Null: it may begin; else it resolves, with
   * `signal` at the latest, when it may: a second's worth that comes at once is begun over half a second.
   */
  spread(signal: CancelSignal): Promise<void> | null;
  /**
   * Waits before a request over the rate is told so: a client that asks again at once would make of refusals more work
   * than the requests would have been. Ends with `signal` too.
   */
  beforeRefusal(signal: CancelSignal): Promise<void>;
  /** A connection was ended for what it did to us: the sandbox's next ones are not begun for a while. */
  misbehaved(): void;
  /** Asked before a connection is begun. Null: now; else it resolves when the last misbehaviour is far enough in the past. */
  calm(signal: CancelSignal): Promise<void> | null;
  /** Asked before a piece of work is begun. Null: now; else it resolves when the sandbox's turn has come. */
  turn(work: Work): Promise<void> | null;
  /** Whether `pace` would change anything now. */
  paces(): boolean;
  /** The sandbox's side of one flow, at the speed that the limits allow. Owns `stream` from here on. */
  pace(stream: Duplex): Duplex;
  /** After a reload. Open flows stay open and counted; a direction that was not limited stays so for them. */
  change(settings: LimitSettings): void;
}

/** How long a refusal for the rate takes, in milliseconds: the time in which the rate is filled up again. */
const REFUSAL_MS = 1_000;
/** A client that floods and comes back at once makes of handshakes more work than its flood was. */
const CALM_MS = 1_000;
/** Beside others, the requests of one second are begun at twice their rate, after this part of them at once. */
const SPREAD = { faster: 2, atOnce: 0.05 } as const;
/**
 * Handshakes of one sandbox beside others: each takes the event loop for a millisecond. None waits longer than after a
 * misbehaviour: what connections owe that are long gone must not keep out those that come.
 */
const HANDSHAKES = { perSecond: 100, burst: 16, mostMs: CALM_MS } as const;
/** Of a sandbox that has the gateway to itself. */
const ALONE_DESCRIPTORS = 1 << 20;

/** `shares`: what is shared with the other sandboxes; absent: with nobody. */
export function createLimits(
  settings: LimitSettings,
  clock: Clock,
  { shares = createShares(ALONE_DESCRIPTORS), later = schedule }: LimitParts = {},
): Limits {
  const share = shares.join();
  let current = settings;
  let flows = 0;
  let requests = bucketFor(settings.requestsPerSecond);
  let starts = startsFor(settings.requestsPerSecond);
  const handshakes = createTokenBucket(HANDSHAKES);
  let egress = pacerFor(null, settings.maxEgressBps, clock, later);
  let ingress = pacerFor(null, settings.maxIngressBps, clock, later);
  const paces = (): boolean => egress !== null || ingress !== null;
  let calmAt = 0;

  /** Null: now. */
  const until = (ms: number, signal: CancelSignal): Promise<void> | null =>
    ms > 0 ? wait(ms, signal, later) : null;

  return {
    admitFlow: () => {
      if (current.maxConnections !== null && flows >= current.maxConnections) return null;
      if (!share.openFlow()) return null;
      flows += 1;
      let isOpen = true;
      return () => {
        // Called twice it must not free the place of another.
        if (!isOpen) return;
        isOpen = false;
        flows -= 1;
        share.closeFlow();
      };
    },
    spread: signal => (shares.crowded() ? until(msToNext(starts, clock), signal) : null),
    admitRequest: () => requests === null || requests.take(1, clock.monotonic()),
    beforeRefusal: signal => wait(REFUSAL_MS, signal, later),
    misbehaved: () => {
      calmAt = clock.monotonic() + CALM_MS;
    },
    calm: signal => {
      const left = calmAt - clock.monotonic();
      if (left > 0 || !shares.crowded()) return until(left, signal);
      return until(Math.min(msToNext(handshakes, clock), HANDSHAKES.mostMs), signal);
    },
    turn: work => share.turn(work),
    paces,
    pace: stream => (paces() ? new PacedStream(stream, { egress, ingress }) : stream),
    change: next => {
      if (next.requestsPerSecond !== current.requestsPerSecond) {
        requests = bucketFor(next.requestsPerSecond);
        starts = startsFor(next.requestsPerSecond);
      }
      egress = pacerFor(egress, next.maxEgressBps, clock, later);
      ingress = pacerFor(ingress, next.maxIngressBps, clock, later);
      current = next;
    },
  };
}

export interface LimitParts {
  readonly shares?: Shares;
  readonly later?: Schedule;
}

const ONCE = { once: true } as const;

function wait(milliseconds: number, signal: CancelSignal, later: Schedule): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve();
    // One for both: to take back what has come does nothing.
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = later(milliseconds, done);
    signal.addEventListener('abort', done, ONCE);
  });
}

function bucketFor(perSecond: number | null): TokenBucket | null {
  return perSecond === null ? null : createTokenBucket({ perSecond, burst: Math.max(1, perSecond) });
}

/** What is next stands in the line behind those that came before: what it takes is owed already. */
function msToNext(bucket: TokenBucket | null, clock: Clock): number {
  if (bucket === null) return 0;
  const nowMs = clock.monotonic();
  bucket.spend(1, nowMs);
  return bucket.waitMs(nowMs);
}

function startsFor(perSecond: number | null): TokenBucket | null {
  if (perSecond === null) return null;
  return createTokenBucket({
    perSecond: perSecond * SPREAD.faster,
    burst: Math.max(1, perSecond * SPREAD.atOnce),
  });
}

/** The same pacer where there was one: the flows that hold it share it with those that come. */
function pacerFor(
  known: Pacer | null,
  bytesPerSecond: number | null,
  clock: Clock,
  later: Schedule,
): Pacer | null {
  if (bytesPerSecond === null) {
    known?.changeRate(Number.MAX_SAFE_INTEGER);
    return null;
  }
  if (known === null) return createPacer(bytesPerSecond, clock, later);
  known.changeRate(bytesPerSecond);
  return known;
}
