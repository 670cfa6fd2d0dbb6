/**
 * How many queries a sandbox may ask: a token bucket, and one event a second that tells how many came over it.
 *
 * Pure but for its state: time and the emitter are passed in.
 */
import { createTokenBucket } from '../core/token-bucket.js';
import { dnsFact } from './fact.js';
import type { DnsRoomOptions, RoomLimits, Transport } from './room.js';

export type Admission = (packet: Uint8Array, transport: Transport) => boolean;

type AdmissionOptions = Pick<DnsRoomOptions, 'sandbox' | 'emit' | 'clock' | 'generation'>;

export function createAdmission(options: AdmissionOptions, limits: RoomLimits): Admission {
  const bucket = createTokenBucket({ perSecond: limits.queriesPerSecond, burst: limits.burst });
  let turnedAway = 0;
  let bytes = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;

  return (packet, transport) => {
    const nowMs = options.clock.monotonic();
    const admitted = bucket.take(1, nowMs);
    if (!admitted) {
      turnedAway += 1;
      bytes += packet.length;
    }
    if (turnedAway === 0 || nowMs - toldAtMs < 1000) return admitted;
    options.emit(
      dnsFact({
        type: 'dns.refused',
        sandbox: options.sandbox,
        transport,
        generation: options.generation(),
        host: '',
        method: '',
        requestBytes: bytes,
        responseBytes: 0,
        durationMs: 0,
        reason: 'LIMIT_EXCEEDED',
        hint: `${turnedAway} queries came over the limit of ${limits.queriesPerSecond} a second`,
        rule: null,
        secrets: [],
      }),
    );
    turnedAway = 0;
    bytes = 0;
    toldAtMs = nowMs;
    return admitted;
  };
}
