/**
 * Which name a real address was given out for, where `dns.mode` is `forward`.
 *
 * Pure: time is passed in, milliseconds of a monotonic clock. Two names may share an address (a CDN): the one that
 * was asked for last has it. That gives nobody a way past the rules, since both names were allowed and what is
 * dialled is the name, never the address.
 */
import type { IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import { createLeases } from './leases.js';

/** TTLs of forwarded answers are brought between these. */
export const FORWARDED_TTL_SECONDS = { min: 5, max: 300 } as const;
const MAX_ADDRESSES = 65_536;
const KEPT_ADDRESSES = 4096;

export interface ForwardedNames {
  /** Remembers whose `address` is. False if every known address is in use or in its time. */
  learn(address: IpAddress, name: Hostname, nowMs: number): boolean;
  nameOf(address: IpAddress): Hostname | null;
  retain(address: IpAddress): void;
  release(address: IpAddress): void;
}

export function createForwardedNames(max = MAX_ADDRESSES): ForwardedNames {
  const terms = { lifeMs: FORWARDED_TTL_SECONDS.max * 1000, kept: KEPT_ADDRESSES, max };
  const leases = createLeases<string, Hostname>(terms, () => {});
  return {
    learn: (address, name, nowMs) => {
      leases.sweep(nowMs);
      return leases.grant(address.text, name, nowMs);
    },
    nameOf: address => leases.find(address.text),
    retain: address => leases.retain(address.text),
    release: address => leases.release(address.text),
  };
}
