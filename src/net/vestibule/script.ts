/**
 * The shell scripts that make the door's namespaces. A shell starts in a millisecond and stays as one megabyte; a
 * Node process is thirty of each. So Node (the warden) only opens the sockets, beside this, and is gone.
 *
 * Pure: constant text. What varies comes in by environment variables, so nothing is quoted by hand.
 *
 * File descriptors: 3 the warden's channel, 4 the lifeline (its other end is the gateway's: end of file means that
 * the gateway is gone or wants the door closed). Standard output takes the report, one line: `ready PID 4` or
 * `ready PID 46`, a process of the cell and the address families that it has.
 */
import { CELL_IPV4, CELL_IPV6, GATE_IPV4, GATE_IPV6 } from './ruleset.js';

/** Larger frames save work: the link is memory, not wire. */
const MTU = 65_520;

/**
 * A new namespace has the host's congestion control, which may pace what is sent by what it measures of a path. The
 * door's link is memory, and needs no more than what every kernel has (docs/decisions/0064).
 */
const UNPACED = '{ echo reno >/proc/sys/net/ipv4/tcp_congestion_control; } 2>/dev/null || :';

/** A plain door: every address is the gate's own, but for the cell's, whose route is the more specific one. */
const PLAIN_GATE = `
"$IP" -batch - <<END || exit 1
link set lo up
addr add ${GATE_IPV4}/32 dev lo
route add local default dev lo table main
END
{ echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all; } 2>/dev/null || :
if [ "$IPV6" = yes ]; then
"$IP" -6 -batch - <<END || exit 1
addr add ${GATE_IPV6}/128 dev lo nodad
route add local default dev lo table main
END
{ echo 1 >/proc/sys/net/ipv6/icmp/echo_ignore_all; } 2>/dev/null || :
fi
`;

/** Runs in the gate, first. It stays, to hold the gate open for changes of its rules and to reap the cell. */
export const GATE_SCRIPT = `
GATE=$$; export GATE
${UNPACED}
if [ -z "$NFT" ]; then ${PLAIN_GATE} fi
if [ -n "$TAP" ]; then
  "$IP" tuntap add dev gate0 mode tap vnet_hdr || exit 1
  # A machine's kernel may ask for congestion marks; nothing on this link would ever set one.
  { echo 0 >/proc/sys/net/ipv4/tcp_ecn; } 2>/dev/null || :
fi
"$UNSHARE" --net -- "$SH" -c "$CELL_SCRIPT" 3<&- &
cell=$!
exec >/dev/null
"$NODE" "$WARDEN" 4<&- || { kill "$cell"; exit 1; }
exec 3<&-
wait "$cell"
`;

/**
 * Runs in the cell: links first, then both rulesets at once. Nobody else is here until the report. The last line
 * waits for the end of the lifeline; it stays, to hold the cell open.
 */
export const CELL_SCRIPT = `
set -e
in_gate() { "$NSENTER" --target "$GATE" --net -- "$@"; }
"$IP" -batch - <<END
link set lo up
link add eth0 mtu ${MTU} type veth peer name gate0 mtu ${MTU} netns $GATE
addr add ${CELL_IPV4}/30 dev eth0
link set eth0 up
route add default via ${GATE_IPV4} dev eth0
END
in_gate "$IP" -batch - <<END
link set lo up
addr add ${GATE_IPV4}/30 dev gate0
link set gate0 up
END
gate_rules=
if [ -n "$NFT" ]; then
printf %s "$GATE_RULES" | in_gate "$NFT" -f - &
gate_rules=$!
printf %s "$CELL_RULES" | "$NFT" -f -
fi
families=4
if "$IP" -batch - 2>/dev/null <<END && in_gate "$IP" addr add ${GATE_IPV6}/64 dev gate0 nodad 2>/dev/null
addr add ${CELL_IPV6}/64 dev eth0 nodad
route add default via ${GATE_IPV6} dev eth0
END
then families=46; fi
${UNPACED}
# A sandbox without capabilities may still serve on its own port 80. A read-only /proc/sys is no reason to stop.
{ echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; } 2>/dev/null || :
[ -z "$gate_rules" ] || wait "$gate_rules"
echo "ready $$ $families"
exec >/dev/null
read -r end <&4 || :
`;

/**
 * The same for a machine: its TAP is in the gate already, and the cell, where its VMM runs, gets no interface at all.
 * The neighbours are written down, so that nothing that the guest says can change who is believed to be where.
 */
export const TAP_CELL_SCRIPT = `
set -e
in_gate() { "$NSENTER" --target "$GATE" --net -- "$@"; }
printf %s "$GATE_RULES" | in_gate "$NFT" -f -
in_gate "$IP" -batch - <<END
link set lo up
link set gate0 address $GATE_MAC
link set gate0 mtu $MTU
addr add $GATE_V4 dev gate0
neigh add $GUEST_V4 lladdr $GUEST_MAC dev gate0 nud permanent
link set gate0 up
route add 255.255.255.255/32 dev gate0
END
families=4
if in_gate "$IP" -batch - 2>/dev/null <<END
addr add $GATE_V6 dev gate0 nodad
neigh add $GUEST_V6 lladdr $GUEST_MAC dev gate0 nud permanent
neigh add $GUEST_LOCAL lladdr $GUEST_MAC dev gate0 nud permanent
END
then families=46; fi
echo "ready $$ $families"
exec >/dev/null
read -r end <&4 || :
`;
