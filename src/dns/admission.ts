/**
 * What a sandbox may ask of its resolver: queries a second, TCP connections at a time. Of what comes over that, one
 * event a second tells how much it was.
 *
 * Pure but for its state: time and the emitter are passed in.
 */
import type { Clock } from '../core/clock.js';
import { createTokenBucket } from '../core/token-bucket.js';
import { type DnsFact, dnsFact } from './fact.js';
import { MAX_NAMES } from './names.js';
import type { Transport } from './reply.js';

export interface RoomLimits {
  readonly queriesPerSecond: number;
  readonly burst: number;
  readonly names: number;
  /** TCP connections that are open at a time. */
  readonly streams: number;
}

export const ROOM_LIMITS: RoomLimits = { queriesPerSecond: 200, burst: 400, names: MAX_NAMES, streams: 64 };

export interface Admission {
  admitQuery(packet: Uint8Array, transport: Transport): boolean;
  /** Counts one TCP connection: call what it gives back, once, when it has ended. Null: there are too many. */
  admitStream(): (() => void) | null;
}

export interface AdmissionOptions {
  readonly sandbox: string;
  readonly emit: (fact: DnsFact) => void;
  readonly clock: Clock;
  readonly generation: () => number;
}

export function createAdmission(options: AdmissionOptions, limits: RoomLimits): Admission {
  const bucket = createTokenBucket({ perSecond: limits.queriesPerSecond, burst: limits.burst });
  const turnedAway = createTally(options);
  let streams = 0;
  return {
    admitQuery: (packet, transport) => {
      const nowMs = options.clock.monotonic();
      const admitted = bucket.take(1, nowMs);
      if (!admitted) turnedAway.count(packet.length);
      turnedAway.tell(nowMs, transport);
      return admitted;
    },
    admitStream: () => {
      if (streams >= limits.streams) {
        turnedAway.count(0);
        turnedAway.tell(options.clock.monotonic(), 'tcp');
        return null;
      }
      streams += 1;
      return () => {
        streams -= 1;
      };
    },
  };
}

interface Tally {
  count(bytes: number): void;
  /** Emits what was counted, if a second has passed since it last did. */
  tell(nowMs: number, transport: Transport): void;
}

function createTally({ sandbox, emit, generation }: AdmissionOptions): Tally {
  let times = 0;
  let requestBytes = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return {
    count: bytes => {
      times += 1;
      requestBytes += bytes;
    },
    tell: (nowMs, transport) => {
      if (times === 0 || nowMs - toldAtMs < 1000) return;
      const hint = `queries or connections over the resolver's limits: ${times}`;
      const parts = { type: 'dns.refused', reason: 'LIMIT_EXCEEDED', hint, rule: null, secrets: [] } as const;
      const none = { host: '', method: '', responseBytes: 0, durationMs: 0 };
      emit(dnsFact({ ...parts, ...none, sandbox, transport, requestBytes, generation: generation() }));
      times = 0;
      requestBytes = 0;
      toldAtMs = nowMs;
    },
  };
}
