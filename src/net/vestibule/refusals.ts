/**
 * What the kernel refused in the cell, read back from the sets of its ruleset.
 *
 * Pure: text of `nft -n list table` in, records out.
 */

/** Packets of one kind to one place that never left the sandbox. */
export interface Refusal {
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `sctp` … or `ip-N` for a protocol without a name here. */
  readonly protocol: string;
  /** Canonical text, as the kernel writes it. */
  readonly address: string;
  /** 0 for protocols without ports. */
  readonly port: number;
  readonly packets: number;
  readonly bytes: number;
}

/** Protocol numbers (IANA) that a sandbox is likely to try. */
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [2, 'igmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [47, 'gre'],
  [50, 'esp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** `17 . 93.184.216.34 . 443 counter packets 2 bytes 58`; the port is absent in the sets `bare4` and `bare6`. */
const ELEMENT = /\b(\d{1,3}) \. ([0-9a-f.:]+)(?: \. (\d{1,5}))? counter packets (\d+) bytes (\d+)/g;

export function parseRefusals(listing: string): readonly Refusal[] {
  return Array.from(listing.matchAll(ELEMENT), ([, protocol, address = '', port = '0', packets, bytes]) => ({
    protocol: PROTOCOLS.get(Number(protocol)) ?? `ip-${protocol}`,
    address,
    port: Number(port),
    packets: Number(packets),
    bytes: Number(bytes),
  }));
}

/** What a well-known kind of refusal is, for an operator's eyes: `quic`, `dot`, `doq`, `mdns`; else the protocol. */
export function refusalKind({ protocol, port }: Pick<Refusal, 'protocol' | 'port'>): string {
  return KINDS.get(`${protocol}/${port}`) ?? protocol;
}

const KINDS: ReadonlyMap<string, string> = new Map([
  ['udp/443', 'quic'],
  ['udp/853', 'doq'],
  ['tcp/853', 'dot'],
  ['udp/5353', 'mdns'],
  ['udp/5355', 'llmnr'],
  ['udp/123', 'ntp'],
]);
