/**
 * The kernel's half of the inner door for a machine: its only network interface is a TAP, whose other end is in the gate.
 *
 * Pure: addresses in, rules out. Root in the guest may write any frame, so nothing is believed: a frame is let in only
 * from the one MAC and the one address of each family that were leased, whole, without options, to the gate or to
 * all. What is refused is counted, and answered where a kernel would answer.
 */
import { DHCP6_CLIENT_PORT, DHCP6_GROUP, DHCP6_SERVER_PORT } from './dhcp6.js';
import { emitPorts, type PortRange } from './ports.js';
import { CELL_IPV4, CELL_IPV6, CLOSED_PORT, DNS_PORT, GATE_IPV4, GATE_IPV6, TCP_PORT } from './ruleset.js';

/** Both ends of the link. One for all machines, since no two can meet. */
export interface TapLease {
  readonly gateMac: string;
  readonly guestMac: string;
  readonly gateIpv4: string;
  readonly guestIpv4: string;
  readonly prefixIpv4: number;
  readonly gateIpv6: string;
  readonly guestIpv6: string;
  readonly prefixIpv6: number;
  /** Of the gate's interface, and what the machine is told to use. */
  readonly mtu: number;
}

/** Large frames save work: the link is memory, not wire. More than this a TAP does not take. */
export const MAX_TAP_MTU = 65_520;

export const TAP_LEASE: TapLease = {
  gateMac: '02:53:61:6c:6c:01',
  guestMac: '02:53:61:6c:6c:02',
  gateIpv4: GATE_IPV4,
  guestIpv4: CELL_IPV4,
  prefixIpv4: 30,
  gateIpv6: GATE_IPV6,
  guestIpv6: CELL_IPV6,
  prefixIpv6: 64,
  mtu: MAX_TAP_MTU,
};

/** The link-local address that a kernel makes of a MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const bytes = mac.split(':').map(part => Number.parseInt(part, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${words.map(word => word.toString(16)).join(':')}`;
}

export const DHCP_SERVER_PORT = 67;
const DHCP_CLIENT_PORT = 68;
/** A question of DHCPv6: from a link's address to all servers of the link. */
const DHCP6_QUESTION = `ip6 daddr ${DHCP6_GROUP} udp dport ${DHCP6_SERVER_PORT}`;

const PORTED = '{ tcp, udp, sctp, dccp, udplite }';
const PROHIBITED = 'reject with icmpx type admin-prohibited';
/** What a kernel says by itself when an IPv6 link comes up: nobody's attempt, so not evidence. */
const LINK_CHATTER = '{ nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report }';

/** Ports of the machine that lead into it. */
export interface GuestPorts {
  readonly tcp: readonly number[];
  readonly udp: readonly number[];
}

/**
 * The way in, for those ports alone: the first packet may leave the gate, and what comes back is an answer to it or
 * nothing. The rule for answers stands first, since the others take every packet of the machine for a beginning.
 */
export function admissionRules({ guestIpv4 }: TapLease, { tcp, udp }: GuestPorts): string {
  const open = (protocol: string, ports: readonly number[]): string =>
    ports.length === 0
      ? ''
      : `add rule inet gate answered oifname "gate0" ip daddr ${guestIpv4} ${protocol} dport { ${[...new Set(ports)].join(', ')} } accept\n`;
  const answers = `insert rule inet gate arrived iifname "gate0" ip saddr ${guestIpv4} ct state established ct direction reply accept\n`;
  return `${answers}${open('tcp', tcp)}${open('udp', udp)}`;
}

/** Both tables: the frames of the interface, and the packets that they hold. */
export function tapRules(lease: TapLease, ports: readonly PortRange[]): string {
  return `${frameRules(lease)}${packetRules(lease, ports)}`;
}

/**
 * Frames, before the kernel has looked into them: reassembly, address tables and connection tracking come later. A
 * VLAN tag is taken off before this, so its presence is asked first.
 */
function frameRules({ gateMac, guestMac, gateIpv4, guestIpv4, guestIpv6 }: TapLease): string {
  const guestLocal = linkLocalOf(guestMac);
  return `table netdev gate {
  set forged { type inet_proto . ipv4_addr; size 250; flags dynamic; counter; }
  set forged6 { type inet_proto . ipv6_addr; size 250; flags dynamic; counter; }
  counter strange { }
  chain frames {
    type filter hook ingress device "gate0" priority -500; policy drop;
    meta protocol { vlan, 8021ad } counter name strange drop
    ether saddr != ${guestMac} goto forgery
    ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether daddr != ${gateMac} counter name strange drop
    meta protocol arp goto addresses
    meta protocol ip goto packets4
    meta protocol ip6 goto packets6
    counter name strange
  }
  chain addresses {
    arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation request arp saddr ether ${guestMac} arp saddr ip { 0.0.0.0, ${guestIpv4} } arp daddr ip ${gateIpv4} accept
    arp operation reply arp saddr ether ${guestMac} arp saddr ip ${guestIpv4} arp daddr ip ${gateIpv4} accept
    counter name strange drop
  }
  chain packets4 {
    ip hdrlength != 5 counter name strange drop
    ip frag-off & 0x3fff != 0 counter name strange drop
    ip ttl 0 counter name strange drop
    ip saddr ${guestIpv4} accept
    ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport ${DHCP_CLIENT_PORT} udp dport ${DHCP_SERVER_PORT} accept
    goto forgery
  }
  chain packets6 {
    exthdr frag exists counter name strange drop
    ip6 hoplimit 0 counter name strange drop
    ip6 nexthdr { tcp, udp, icmpv6, sctp, dccp, udplite } ip6 saddr ${guestIpv6} accept
    ip6 nexthdr icmpv6 ip6 saddr { ::, ${guestLocal} } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } ip6 hoplimit 255 accept
    ip6 saddr ${guestLocal} udp sport ${DHCP6_CLIENT_PORT} ${DHCP6_QUESTION} accept
    ip6 nexthdr hopopt ip6 saddr { ::, ${guestLocal} } drop
    ip6 saddr { ::, ${guestLocal}, ${guestIpv6} } counter name strange drop
    goto forgery
  }
  chain forgery {
    meta protocol ip update @forged { meta l4proto . ip saddr } drop
    meta protocol ip6 update @forged6 { meta l4proto . ip6 saddr } drop
    counter name strange drop
  }
}
`;
}

/** What was tried, of every packet that is not let through. */
const EVIDENCE = `  set ported4 { type inet_proto . ipv4_addr . inet_service; size 1000; flags dynamic; counter; }
  set ported6 { type inet_proto . ipv6_addr . inet_service; size 1000; flags dynamic; counter; }
  set bare4 { type inet_proto . ipv4_addr; size 250; flags dynamic; counter; }
  set bare6 { type inet_proto . ipv6_addr; size 250; flags dynamic; counter; }
`;

/** What is let through unseen; the rest is kept. */
const triedChain = (own: string): string => `  chain tried {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "gate0" accept
    ct state { established, related } accept
    ct state invalid drop
    ip daddr ${own} udp dport ${DHCP_SERVER_PORT} accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
    ${DHCP6_QUESTION} accept
    fib daddr type { broadcast, multicast } drop
    tcp dport @ports accept
    udp dport 53 accept
    icmpv6 type ${LINK_CHATTER} drop
    meta nfproto ipv4 meta l4proto ${PORTED} update @ported4 { meta l4proto . ip daddr . th dport }
    meta nfproto ipv6 meta l4proto ${PORTED} update @ported6 { meta l4proto . ip6 daddr . th dport }
    meta nfproto ipv4 meta l4proto != ${PORTED} update @bare4 { meta l4proto . ip daddr }
    meta nfproto ipv6 meta l4proto != ${PORTED} update @bare6 { meta l4proto . ip6 daddr }
  }
`;

/** Packets that are the guest's own: as in the gate of a process, with what was tried kept here. */
function packetRules(
  { gateIpv4, gateIpv6, guestIpv4, guestMac }: TapLease,
  ports: readonly PortRange[],
): string {
  const own = `{ ${gateIpv4}, 255.255.255.255 }`;
  return `table inet gate {
  set ports { type inet_service; flags interval; elements = { ${emitPorts(ports)} }; }
${EVIDENCE}  chain entered {
    type filter hook prerouting priority raw; policy drop;
    iifname "lo" accept
    iifname "gate0" accept
  }
${triedChain(own)}  chain turned {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr ${own} udp dport ${DHCP_SERVER_PORT} accept
    ${DHCP6_QUESTION} accept
    tcp dport @ports redirect to :${TCP_PORT}
    udp dport 53 redirect to :${DNS_PORT}
    meta l4proto { tcp, udp } redirect to :${CLOSED_PORT}
    meta l4proto != icmpv6 redirect
  }
  chain arrived {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state invalid drop
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 daddr { ff02::/16, fe80::/10, ${gateIpv6} } accept
    icmpv6 type nd-router-solicit ip6 daddr ff02::2 accept
    ip daddr ${own} udp dport ${DHCP_SERVER_PORT} accept
    ${DHCP6_QUESTION} accept
    ct status dnat tcp dport ${TCP_PORT} accept
    ct status dnat udp dport ${DNS_PORT} accept
    meta l4proto tcp reject with tcp reset
    meta l4proto udp ${PROHIBITED}
    icmp type echo-request ${PROHIBITED}
    icmpv6 type echo-request ${PROHIBITED}
  }
  chain passed {
    type filter hook forward priority filter; policy drop;
  }
  chain answered {
    type filter hook output priority filter; policy drop;
    oifname "lo" accept
    ct state { established, related } accept
    udp sport ${DHCP_SERVER_PORT} udp dport ${DHCP_CLIENT_PORT} ip daddr { ${guestIpv4}, 255.255.255.255 } accept
    udp sport ${DHCP6_SERVER_PORT} udp dport ${DHCP6_CLIENT_PORT} ip6 daddr ${linkLocalOf(guestMac)} accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
  }
}
`;
}
