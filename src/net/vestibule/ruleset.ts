/**
 * The kernel's half of the inner door: addresses and nftables rules of the gate and the cell.
 *
 * Pure: text out. The cell's rules make a refusal immediate and leave evidence of it; the gate's rules enforce the
 * same on their own, for a sandbox that is root in its cell or writes raw frames.
 */
import { emitPorts, type PortRange } from './ports.js';

/** 198.18.0.0/15 (RFC 2544) is in nobody's use; its last /30 is the door's, the resolver gives out the rest. */
export const GATE_IPV4 = '198.19.255.253';
export const CELL_IPV4 = '198.19.255.254';
/** A unique local prefix (RFC 4193) that is the same in every door, since no two can meet. */
export const GATE_IPV6 = 'fd53:616c:6c79::1';
export const CELL_IPV6 = 'fd53:616c:6c79::2';

/** Where the gate listens. The numbers are known to nobody: every connection is translated on its way here. */
export const TCP_PORT = 15_001;
export const DNS_PORT = 15_053;
/** A port on which nothing listens: what is sent here is refused. */
export const CLOSED_PORT = 1;

const PORTED = '{ tcp, udp, sctp, dccp, udplite }';
const NEIGHBOURS = '{ nd-neighbor-solicit, nd-neighbor-advert }';
/** What a kernel says by itself when an IPv6 link comes up: nobody's attempt, so not evidence. */
const LINK_CHATTER = '{ nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report }';

/** The spelling of "administratively prohibited" that every nft understands. */
const PROHIBITED = 'reject with icmpx type admin-prohibited';

/**
 * Rules of the cell. `send` and `connect` fail at once because the packet is refused on its way out; the four sets
 * keep what was tried. A full set stops telling apart, never stops refusing: `update` is not the rule that refuses.
 */
export function cellRules(ports: readonly PortRange[]): string {
  return `table inet cell {
  set ports { type inet_service; flags interval; elements = { ${emitPorts(ports)} }; }
  set ported4 { type inet_proto . ipv4_addr . inet_service; size 1000; flags dynamic; counter; }
  set ported6 { type inet_proto . ipv6_addr . inet_service; size 1000; flags dynamic; counter; }
  set bare4 { type inet_proto . ipv4_addr; size 250; flags dynamic; counter; }
  set bare6 { type inet_proto . ipv6_addr; size 250; flags dynamic; counter; }
  chain output {
    type filter hook output priority filter; policy drop;
    oifname "lo" accept
    tcp dport @ports accept
    udp dport 53 accept
    icmpv6 type ${NEIGHBOURS} accept
    icmpv6 type ${LINK_CHATTER} drop
    goto refused
  }
  chain refused {
    meta nfproto ipv4 meta l4proto ${PORTED} update @ported4 { meta l4proto . ip daddr . th dport }
    meta nfproto ipv6 meta l4proto ${PORTED} update @ported6 { meta l4proto . ip6 daddr . th dport }
    meta nfproto ipv4 meta l4proto != ${PORTED} update @bare4 { meta l4proto . ip daddr }
    meta nfproto ipv6 meta l4proto != ${PORTED} update @bare6 { meta l4proto . ip6 daddr }
    meta l4proto tcp reject with tcp reset
    ${PROHIBITED}
  }
}
`;
}

/**
 * Rules of the gate. The first chain believes only the cell's own addresses; the second turns every new connection
 * to a listener or to the closed port, so nothing keeps the target that it came with; the rest drop.
 */
export function gateRules(ports: readonly PortRange[]): string {
  return `table inet gate {
  set ports { type inet_service; flags interval; elements = { ${emitPorts(ports)} }; }
  chain spoofed {
    type filter hook prerouting priority raw; policy drop;
    iifname "lo" accept
    iifname "gate0" ip saddr ${CELL_IPV4} accept
    iifname "gate0" ip6 saddr ${CELL_IPV6} accept
    iifname "gate0" icmpv6 type ${NEIGHBOURS} accept
  }
  chain turned {
    type nat hook prerouting priority dstnat; policy accept;
    tcp dport @ports redirect to :${TCP_PORT}
    udp dport 53 redirect to :${DNS_PORT}
    meta l4proto { tcp, udp } redirect to :${CLOSED_PORT}
    meta l4proto != icmpv6 redirect
  }
  chain arrived {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state invalid drop
    icmpv6 type ${NEIGHBOURS} accept
    ct status dnat tcp dport ${TCP_PORT} accept
    ct status dnat udp dport ${DNS_PORT} accept
    meta l4proto tcp reject with tcp reset
    ${PROHIBITED}
  }
  chain passed {
    type filter hook forward priority filter; policy drop;
  }
  chain answered {
    type filter hook output priority filter; policy drop;
    oifname "lo" accept
    ct state { established, related } accept
    icmpv6 type ${NEIGHBOURS} accept
  }
}
`;
}

/** One transaction that replaces the open ports of a table that is loaded. */
export function portUpdate(table: 'cell' | 'gate', ports: readonly PortRange[]): string {
  return `flush set inet ${table} ports
add element inet ${table} ports { ${emitPorts(ports)} }
`;
}
