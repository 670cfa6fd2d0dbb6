/**
 * The router advertisement (RFC 4861 §4.2) of a machine's link: who the router and the resolver are, and that addresses
 * come by DHCPv6. The prefix is told as on the link, not as one to make addresses of: the gate lets in one address.
 *
 * Pure. The kernel fills in the checksum.
 */
import { ipv6Octets, macOctets, uint32 } from './octets.js';
import type { TapLease } from './tap-rules.js';

const ROUTER_ADVERTISEMENT = 134;
const HOP_LIMIT = 64;
/** Addresses, and the rest, by DHCPv6. */
const MANAGED = 0x80 | 0x40;
const ON_LINK = 0x80;
/** Three times the longest silence (RFC 4861 §6.2.1). */
export const ADVERTISED_SECONDS = 1_800;
const PREFIX_SECONDS = 86_400;

export function emitRouterAdvertisement({ gateMac, gateIpv6, prefixIpv6, mtu }: TapLease): Uint8Array {
  const gate = ipv6Octets(gateIpv6);
  const head = Buffer.alloc(16);
  head.set([ROUTER_ADVERTISEMENT, 0, 0, 0, HOP_LIMIT, MANAGED]);
  head.writeUInt16BE(ADVERTISED_SECONDS, 6);
  const link = Buffer.concat([Buffer.of(1, 1), macOctets(gateMac)]);
  const size = Buffer.concat([Buffer.of(5, 1, 0, 0), uint32(mtu)]);
  const prefix = Buffer.concat([
    Buffer.of(3, 4, prefixIpv6, ON_LINK),
    ...[PREFIX_SECONDS, PREFIX_SECONDS, 0].map(uint32),
    network(gate, prefixIpv6),
  ]);
  /** RFC 8106 §5.1. */
  const resolver = Buffer.concat([Buffer.of(25, 3, 0, 0), uint32(ADVERTISED_SECONDS), gate]);
  return Buffer.concat([head, link, size, prefix, resolver]);
}

/** The first bits, the rest zero; prefixes here end with a byte. */
function network(address: Buffer, bits: number): Buffer {
  return Buffer.concat([address.subarray(0, bits >> 3), Buffer.alloc(16 - (bits >> 3))]);
}
