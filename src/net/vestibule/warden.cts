/**
 * The warden (shell): opens the gate's sockets, hands them to the gateway over the channel, and ends. A socket
 * belongs to the namespace in which it was made, so the gateway then accepts from a namespace that it is not in.
 *
 * CommonJS, and nothing imported but what it opens: its start is most of the door's.
 */
interface Asked {
  readonly tcpPorts: readonly string[];
  /** None: only TCP. */
  readonly dnsPort: number | null;
  readonly ipv6: boolean;
  /** Where DNS is answered, for each family; undefined: anywhere. */
  readonly dnsAddresses: { readonly udp4: string | undefined; readonly udp6: string | undefined };
  /** The interface of a machine, and where it asks for its address; null for a process. */
  readonly tap: { readonly name: string; readonly dhcpPort: number; readonly dhcp6Port: number } | null;
}

function openSockets({ tcpPorts, dnsPort, ipv6, dnsAddresses, tap }: Asked): void {
  const net = process.getBuiltinModule('node:net');
  const dgram = process.getBuiltinModule('node:dgram');
  const both = ipv6 ? (['udp4', 'udp6'] as const) : (['udp4'] as const);
  const families = dnsPort === null ? [] : both;
  /** The warden ends once the gateway has acknowledged every socket. */
  let unsent = tcpPorts.length + families.length + (tap === null ? 0 : ipv6 ? 3 : 2);

  const handed = (): void => {
    unsent -= 1;
    if (unsent === 0) process.exit(0);
  };

  const hand = (name: string, socket: import('node:child_process').SendHandle): void => {
    process.send?.(name, socket, {}, error => {
      if (error !== null) fail(error);
      handed();
    });
  };

  for (const port of tcpPorts) {
    const server = net.createServer().on('error', fail);
    const where = { port: Number(port), host: ipv6 ? '::' : '0.0.0.0', backlog: 4096 };
    server.listen(where, () => hand(port, server));
  }
  for (const family of families) {
    const socket = dgram.createSocket({ type: family, ipv6Only: family === 'udp6' }).on('error', fail);
    const address = dnsAddresses[family];
    const where = { port: dnsPort ?? 0, exclusive: true, ...(address !== undefined && { address }) };
    socket.bind(where, () => hand(family, socket));
  }
  if (tap === null) return;
  const dhcp = dgram.createSocket({ type: 'udp4' }).on('error', fail);
  dhcp.bind({ port: tap.dhcpPort, exclusive: true }, () => {
    dhcp.setBroadcast(true);
    hand('dhcp', dhcp);
  });
  if (ipv6) openDhcp6();
  // Neither can be sent over the channel: the gateway takes them out of this process, and says so.
  process.once('message', handed);
  const fd = openTap(tap.name);
  process.send?.({ pid: process.pid, fd, router: ipv6 ? openRouter(tap.name) : null });

  /** Bound to the group, it is bound to the interface too: what is sent by it needs no other name of the link. */
  function openDhcp6(): void {
    const { name = '', dhcp6Port = 0 } = tap ?? {};
    const address = `${DHCP6_GROUP}%${name}`;
    // A machine whose kernel has the family but not on this link does without.
    const dhcp6 = dgram.createSocket({ type: 'udp6', ipv6Only: true }).once('error', handed);
    dhcp6.bind({ port: dhcp6Port, address, exclusive: true }, () => {
      dhcp6.addMembership(DHCP6_GROUP, `::%${name}`);
      hand('dhcp6', dhcp6);
    });
  }
}

const DHCP6_GROUP = 'ff02::1:2';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** struct ifreq: sixteen bytes of name, then the flags. */
const IFREQ_LEN = 40;
const NAME_LEN = 16;

/** Attaches to the interface `name` of this namespace. */
function openTap(name: string): number {
  const fs = process.getBuiltinModule('node:fs');
  const koffi = require('koffi') as typeof import('koffi');
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)');
  const { O_RDWR, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync('/dev/net/tun', O_RDWR | O_NONBLOCK);
  const request = Buffer.alloc(IFREQ_LEN);
  request.write(name);
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, NAME_LEN);
  if (ioctl(fd, TUNSETIFF, request) !== 0)
    fail(new Error(`the TAP cannot be attached (errno ${koffi.errno()})`));
  return fd;
}

const [AF_INET6, SOCK_RAW, SOL_SOCKET, SO_BINDTODEVICE] = [10, 3, 1, 25];
const [IPPROTO_IPV6, IPPROTO_ICMPV6, ICMP6_FILTER] = [41, 58, 1];
const [IPV6_MULTICAST_HOPS, IPV6_JOIN_GROUP] = [18, 20];
const SOLICITATION = 133;
/** ff02::2 */
const ALL_ROUTERS = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/** Receives router solicitations on the interface `name`, and nothing else; null where there is no IPv6. */
function openRouter(name: string): number | null {
  const koffi = require('koffi') as typeof import('koffi');
  const libc = koffi.load(null);
  const setsockopt = libc.func(
    'int setsockopt(int fd, int level, int option, const void *value, uint length)',
  );
  const fd: number = libc.func('int socket(int family, int type, int protocol)')(
    AF_INET6,
    SOCK_RAW,
    IPPROTO_ICMPV6,
  );
  if (fd < 0) return null;
  const blocked = new Uint32Array(8).fill(0xffff_ffff);
  blocked[SOLICITATION >> 5] = ~(1 << (SOLICITATION & 31)) >>> 0;
  const index: number = libc.func('uint if_nametoindex(const char *name)')(name);
  const group = Buffer.from([...ALL_ROUTERS, ...new Uint8Array(Uint32Array.of(index).buffer)]);
  const device = Buffer.from(name);
  const hops = Int32Array.of(255);
  const isSet =
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, device.length) === 0 &&
    setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, blocked, blocked.byteLength) === 0 &&
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, hops.byteLength) === 0 &&
    setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, group, group.length) === 0;
  return isSet ? fd : null;
}

function fail(error: Error): never {
  process.stderr.write(`warden: ${error.message}\n`);
  process.exit(1);
}

const { TCP_PORTS = '', DNS_PORT, DNS_IPV4, DNS_IPV6, IPV6, TAP = '', DHCP_PORT, DHCP6_PORT } = process.env;
openSockets({
  tcpPorts: TCP_PORTS.split(' '),
  dnsPort: DNS_PORT === undefined ? null : Number(DNS_PORT),
  ipv6: IPV6 === 'yes',
  dnsAddresses: { udp4: DNS_IPV4, udp6: DNS_IPV6 },
  tap: TAP === '' ? null : { name: TAP, dhcpPort: Number(DHCP_PORT), dhcp6Port: Number(DHCP6_PORT) },
});
