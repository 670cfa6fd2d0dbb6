/**
 * The addresses that a sandbox gets for names: invented ones, so that no look-up leaves and so that a flow to an
 * address is a flow to a name.
 *
 * Pure: time is passed in, milliseconds of a monotonic clock. One slot of the pool stands for one name, as an IPv4
 * address of 198.18.0.0/15 (RFC 2544) and an IPv6 one of 2001:2::/48 (RFC 5180), both set aside for benchmarks and
 * routed nowhere. 198.19.255.0/24 and 2001:2:0:ffff::/64 are left out: the inner door's own links use them.
 */
import { addressFromBytes, type IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { createLeases } from './leases.js';

/** TTL of a synthetic answer. A name keeps its address at least as long. */
export const SYNTHETIC_TTL_SECONDS = 60;
export const MAX_NAMES = 65_536;
/** Up to here a name stays though its TTL has run out, for programs that keep an answer for longer. */
const KEPT_NAMES = 4096;
/** Slots 1 … 130,814 are 198.18.0.1 … 198.19.254.254. */
const LAST_SLOT = 0x1_fefe;
const PREFIX6 = [0x20, 0x01, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];

export interface AddressPair {
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
}

export interface SyntheticNames {
  /** The name's addresses, the same as long as the name is known. `full`: every name is in use or in its TTL. */
  addressesOf(name: Hostname, nowMs: number): Result<AddressPair, 'full'>;
  nameOf(address: IpAddress): Hostname | null;
  /** A flow to `address` has begun: its name stays until as many `release`s. An unknown address is ignored. */
  retain(address: IpAddress): void;
  release(address: IpAddress): void;
}

interface Named {
  readonly name: Hostname;
  readonly pair: AddressPair;
}

export function createSyntheticNames(maxNames = MAX_NAMES): SyntheticNames {
  const slots = new Map<Hostname, number>();
  const terms = { lifeMs: SYNTHETIC_TTL_SECONDS * 1000, kept: KEPT_NAMES, max: maxNames };
  const leases = createLeases<number, Named>(terms, (_slot, { name }) => slots.delete(name));
  let lastSlot = 0;

  /** Slots are handed out in a ring: a freed address rests as long as the pool allows. */
  const freeSlot = (): number => {
    do lastSlot = lastSlot === LAST_SLOT ? 1 : lastSlot + 1;
    while (leases.find(lastSlot) !== null);
    return lastSlot;
  };

  return {
    addressesOf: (name, nowMs) => {
      const known = slots.get(name);
      if (known === undefined) leases.sweep(nowMs);
      const slot = known ?? freeSlot();
      const pair = leases.find(slot)?.pair ?? pairOf(slot);
      if (!leases.grant(slot, { name, pair }, nowMs)) return err('full');
      slots.set(name, slot);
      return ok(pair);
    },
    nameOf: address => leases.find(slotOf(address))?.name ?? null,
    retain: address => leases.retain(slotOf(address)),
    release: address => leases.release(slotOf(address)),
  };
}

/** Whether `address` lies in a block that we invent addresses from, given out or not, links included. */
export function isSynthetic({ family, bytes }: IpAddress): boolean {
  if (family === 4) return bytes[0] === 198 && ((bytes[1] ?? 0) & 0xfe) === 18;
  return PREFIX6.slice(0, 6).every((byte, i) => bytes[i] === byte);
}

function pairOf(slot: number): AddressPair {
  const tail = [slot >> 16, (slot >> 8) & 0xff, slot & 0xff];
  return {
    ipv4: addressFromBytes(Uint8Array.of(198, 18 + (slot >> 16), (slot >> 8) & 0xff, slot & 0xff)),
    ipv6: addressFromBytes(Uint8Array.from([...PREFIX6, ...tail])),
  };
}

/** 0, which is nobody's, for an address that is not one of ours. */
function slotOf(address: IpAddress): number {
  const { family, bytes } = address;
  if (!isSynthetic(address)) return 0;
  if (family === 6 && !PREFIX6.every((byte, i) => bytes[i] === byte)) return 0;
  const at = family === 4 ? 1 : 13;
  const high = family === 4 ? (bytes[at] ?? 0) - 18 : (bytes[at] ?? 0);
  return (high << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}
