/**
 * The forward mode: real addresses for an allowed name, each remembered as that name's.
 *
 * An address that would mislead the sandbox refuses the whole answer: its own loopback, a cloud's metadata, one of
 * those that we invent, and with `dns.block_private` any that is not global. What is dialled is decided again.
 */
import type { Endpoint, IpAddress } from '../core/address.js';
import type { Clock } from '../core/clock.js';
import type { Hostname } from '../core/host.js';
import { classifyAddress } from '../policy/special.js';
import { FORWARDED_TTL_SECONDS, type ForwardedNames } from './forwarded-names.js';
import type { LookUp, LookUpAnswer } from './look-up.js';
import { RCODE, type Rcode } from './message.js';
import { isSynthetic } from './names.js';
import { type Refusal, refusal } from './ruling.js';

export type Found =
  | Refusal
  | {
      readonly kind: 'found';
      readonly rcode: Rcode;
      readonly addresses: readonly IpAddress[];
      readonly ttlSeconds: number;
      /** Why there is no address though the name was allowed, or null. */
      readonly reason: 'RESOLVE_FAILED' | null;
    };

export interface ForwardAsk {
  readonly name: Hostname;
  readonly family: 4 | 6;
  readonly servers: readonly Endpoint[];
  readonly blockPrivate: boolean;
  readonly signal: AbortSignal;
}

export interface ForwardMeans {
  readonly lookUp: LookUp;
  readonly names: ForwardedNames;
  readonly clock: Clock;
}

/** Never rejects: a look-up that failed is SERVFAIL. */
export async function forwardAddresses(ask: ForwardAsk, means: ForwardMeans): Promise<Found> {
  const { name } = ask;
  const answer = await lookUpOrNull(ask, means.lookUp);
  if (answer === null) return nothing(RCODE.servFail, 'RESOLVE_FAILED');
  if (answer.kind === 'no-name') return nothing(RCODE.nxDomain, null);

  const misleading = answer.addresses.find(address => isMisleading(address, ask.blockPrivate));
  if (misleading !== undefined) {
    const hint = `${name} resolves to ${misleading.text}, a ${classifyAddress(misleading).block} address`;
    return refusal(RCODE.nxDomain, 'private-address', hint);
  }
  const nowMs = means.clock.monotonic();
  for (const address of answer.addresses) {
    if (means.names.learn(address, name, nowMs)) continue;
    return refusal(RCODE.servFail, 'LIMIT_EXCEEDED', 'too many addresses are in use at the same time');
  }
  const { min, max } = FORWARDED_TTL_SECONDS;
  const ttlSeconds = Math.min(max, Math.max(min, answer.ttlSeconds));
  return { kind: 'found', rcode: RCODE.noError, addresses: answer.addresses, ttlSeconds, reason: null };
}

async function lookUpOrNull(ask: ForwardAsk, lookUp: LookUp): Promise<LookUpAnswer | null> {
  try {
    return await lookUp(ask.name, ask.family, ask.servers, ask.signal);
  } catch {
    // Whatever went wrong, there is no address: SERVFAIL tells the sandbox, RESOLVE_FAILED the operator.
    return null;
  }
}

function isMisleading(address: IpAddress, blockPrivate: boolean): boolean {
  const { kind } = classifyAddress(address);
  return (
    kind === 'loopback' || kind === 'metadata' || isSynthetic(address) || (blockPrivate && kind !== 'global')
  );
}

function nothing(rcode: Rcode, reason: 'RESOLVE_FAILED' | null): Found {
  return { kind: 'found', rcode, addresses: [], ttlSeconds: 0, reason };
}
