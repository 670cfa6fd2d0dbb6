/**
 * What kind of address an address is (IANA IPv4 and IPv6 Special-Purpose Address Registries, RFC 6890; RFC 4291
 * §2.4; the cloud providers' documented metadata addresses).
 *
 * Pure. An IPv6 address is global only inside 2000::/3; everything else is special by default. An IPv4 address
 * that is wrapped in an IPv6 one counts: the verdict is the stricter of the wrapping and of what is wrapped.
 */
import {
  addressFromBytes,
  type Cidr,
  cidrContains,
  type IpAddress,
  parseCidr,
  unmapped,
} from '../core/address.js';
import { createAddressIndex } from './address-index.js';

/**
 * - `global`: an ordinary public address.
 * - `private`: a range that an operator may own and route; `allow_cidr` lifts it.
 * - `special`: any other special-purpose block; only `block_private_ips: false` lifts it.
 * - `loopback`: this host; only an `add_hosts` pin lifts it.
 * - `metadata`: a cloud's control address; only `allow_metadata` lifts it.
 */
export type AddressKind = 'global' | 'private' | 'special' | 'loopback' | 'metadata';

export interface AddressClass {
  readonly kind: AddressKind;
  /** The registry's name for the block, for a hint: `Private-Use (RFC 1918)`. */
  readonly block: string;
}

export function classifyAddress(address: IpAddress): AddressClass {
  const plain = unmapped(address);
  const outer = blocks.find(plain)?.rules[0] ?? (plain.family === 4 ? GLOBAL : NOT_UNICAST);
  let worst = outer;
  if (plain.family === 6 && outer.kind !== 'global') {
    for (const inner of embeddedV4(plain)) {
      const found = classifyAddress(inner);
      if (SEVERITY[found.kind] > SEVERITY[worst.kind])
        worst = { ...found, block: `${outer.block}, holding ${found.block}` };
    }
  }
  return worst;
}

/** True when every address of `block` is of kind `private`: then an `allow_cidr` rule names it deliberately. */
export function isPrivateBlock(block: Cidr): boolean {
  return PRIVATE.some(
    ([outer]) => outer.prefix <= block.prefix && cidrContains(outer, { ...block, text: '' }),
  );
}

const SEVERITY: Readonly<Record<AddressKind, number>> = {
  global: 0,
  private: 1,
  special: 2,
  loopback: 3,
  metadata: 4,
};

const GLOBAL: AddressClass = { kind: 'global', block: 'global unicast' };
const NOT_UNICAST: AddressClass = { kind: 'special', block: 'outside 2000::/3 (RFC 4291)' };

type Row = readonly [block: string, name: string];

const PRIVATE_ROWS: readonly Row[] = [
  ['10.0.0.0/8', 'Private-Use (RFC 1918)'],
  ['172.16.0.0/12', 'Private-Use (RFC 1918)'],
  ['192.168.0.0/16', 'Private-Use (RFC 1918)'],
  ['100.64.0.0/10', 'Shared Address Space (RFC 6598)'],
  ['fc00::/7', 'Unique-Local (RFC 4193)'],
];

const SPECIAL_ROWS: readonly Row[] = [
  ['0.0.0.0/8', 'This network (RFC 791)'],
  ['192.0.0.0/24', 'IETF Protocol Assignments (RFC 6890)'],
  ['192.0.2.0/24', 'Documentation (RFC 5737)'],
  ['192.88.99.0/24', '6to4 Relay Anycast (RFC 7526)'],
  ['198.18.0.0/15', 'Benchmarking (RFC 2544)'],
  ['198.51.100.0/24', 'Documentation (RFC 5737)'],
  ['203.0.113.0/24', 'Documentation (RFC 5737)'],
  ['224.0.0.0/4', 'Multicast (RFC 1112)'],
  ['240.0.0.0/4', 'Reserved (RFC 1112)'],
  ['255.255.255.255/32', 'Limited Broadcast (RFC 919)'],
  ['::/96', 'IPv4-compatible (RFC 4291)'],
  ['::ffff:0:0:0/96', 'IPv4-translated (RFC 2765)'],
  ['64:ff9b::/96', 'NAT64 (RFC 6052)'],
  ['64:ff9b:1::/48', 'NAT64, local use (RFC 8215)'],
  ['100::/64', 'Discard-Only (RFC 6666)'],
  ['100:0:0:1::/64', 'Dummy Prefix (RFC 9780)'],
  ['2001::/23', 'IETF Protocol Assignments (RFC 2928)'],
  ['2001::/32', 'Teredo (RFC 4380)'],
  ['2001:2::/48', 'Benchmarking (RFC 5180)'],
  ['2001:10::/28', 'ORCHID (RFC 4843)'],
  ['2001:db8::/32', 'Documentation (RFC 3849)'],
  ['2002::/16', '6to4 (RFC 3056)'],
  ['3fff::/20', 'Documentation (RFC 9637)'],
  ['5f00::/16', 'Segment Routing SIDs (RFC 9602)'],
  ['fe80::/10', 'Link-Local (RFC 4291)'],
  ['fec0::/10', 'Site-Local (RFC 3879)'],
  ['ff00::/8', 'Multicast (RFC 4291)'],
];

const LOOPBACK_ROWS: readonly Row[] = [
  ['127.0.0.0/8', 'Loopback (RFC 1122)'],
  ['::1/128', 'Loopback (RFC 4291)'],
  // Linux connects the unspecified address to itself.
  ['0.0.0.0/32', 'Unspecified (RFC 1122)'],
  ['::/128', 'Unspecified (RFC 4291)'],
];

const METADATA_ROWS: readonly Row[] = [
  // Every provider puts its services somewhere here; nothing else in it can be reached through a gateway.
  ['169.254.0.0/16', 'Link-Local (RFC 3927), cloud metadata'],
  ['168.63.129.16/32', 'Azure WireServer'],
  ['100.100.100.200/32', 'Alibaba Cloud metadata'],
  ['192.0.0.192/32', 'Oracle Cloud Classic metadata'],
  ['fd00:ec2::/32', 'AWS metadata and link services'],
  ['fd20:ce::/64', 'Google Cloud metadata'],
  ['fd00:42::42/128', 'Scaleway metadata'],
  ['fe80::a9fe:a9fe/128', 'OpenStack metadata'],
];

const PRIVATE = parsed('private', PRIVATE_ROWS);

const blocks = createAddressIndex<AddressClass>([
  ...parsed('global', [['2000::/3', 'global unicast']]),
  ...PRIVATE,
  ...parsed('special', SPECIAL_ROWS),
  ...parsed('loopback', LOOPBACK_ROWS),
  ...parsed('metadata', METADATA_ROWS),
]);

function parsed(kind: AddressKind, rows: readonly Row[]): readonly (readonly [Cidr, AddressClass])[] {
  return rows.map(([text, block]) => {
    const cidr = parseCidr(text);
    if (!cidr.ok) throw new Error(`the table of special addresses holds ${text}`);
    return [cidr.value, { kind, block }];
  });
}

/** Where an IPv6 address may carry an IPv4 one: offsets in bytes, by the block that it lies in. */
function* embeddedV4({ bytes }: IpAddress): Generator<IpAddress> {
  const at = (offset: number): IpAddress => addressFromBytes(bytes.slice(offset, offset + 4));
  const group = (index: number): number => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0);
  if (group(0) === 0x2002) return void (yield at(2)); // 6to4: RFC 3056 §2
  if (group(0) === 0x2001 && group(1) === 0) {
    // Teredo: the server, then the client with every bit turned (RFC 4380 §4).
    yield at(4);
    yield addressFromBytes(bytes.slice(12).map(byte => byte ^ 0xff));
    return;
  }
  if (group(0) === 0x64 && group(1) === 0xff9b && group(2) === 1) {
    // A /48 prefix splits the address around the "u" octet (RFC 6052 §2.2).
    yield addressFromBytes(Uint8Array.of(bytes[6] ?? 0, bytes[7] ?? 0, bytes[9] ?? 0, bytes[10] ?? 0));
  }
  const isatap = (group(4) & 0xfdff) === 0 && group(5) === 0x5efe; // RFC 5214 §6.1
  const compatible = bytes.subarray(0, 8).every(byte => byte === 0);
  if (isatap || compatible || group(0) === 0x64) yield at(12);
}
