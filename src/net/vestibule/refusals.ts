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

/** `17 . 10.0.0.1 counter …` in the sets of frames that came under somebody else's address. */
const FORGED_SET = /set forged6? \{[^}]*?elements = \{([^}]*)\}/g;
const STRANGE = /counter strange \{\s*packets (\d+) bytes (\d+)/;

/**
 * The same of a machine, whose frames are judged too: `forged` tells of packets by the address that they claimed to
 * come from (or that had the right one and another's MAC), `malformed` of frames that are none a machine should send.
 */
export function parseTapRefusals(listing: string): readonly Refusal[] {
  const forged = Array.from(listing.matchAll(FORGED_SET), ([, elements = '']) =>
    parseRefusals(elements),
  ).flat();
  const byAddress = new Map<string, Refusal>();
  for (const { address, packets, bytes } of forged) {
    const before = byAddress.get(address) ?? { packets: 0, bytes: 0 };
    byAddress.set(address, {
      ...{ protocol: 'forged', address, port: 0 },
      ...{ packets: before.packets + packets, bytes: before.bytes + bytes },
    });
  }
  const [, packets = '0', bytes = '0'] = STRANGE.exec(listing) ?? [];
  const strange = {
    protocol: 'malformed',
    address: '',
    port: 0,
    packets: Number(packets),
    bytes: Number(bytes),
  };
  return [
    ...parseRefusals(listing.replaceAll(FORGED_SET, '')),
    ...byAddress.values(),
    ...(strange.packets > 0 ? [strange] : []),
  ];
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
