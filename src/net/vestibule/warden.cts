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
}

function openSockets({ tcpPorts, dnsPort, ipv6, dnsAddresses }: Asked): void {
  const net = process.getBuiltinModule('node:net');
  const dgram = process.getBuiltinModule('node:dgram');
  const both = ipv6 ? (['udp4', 'udp6'] as const) : (['udp4'] as const);
  const families = dnsPort === null ? [] : both;
  /** The warden ends once the gateway has acknowledged every socket. */
  let unsent = tcpPorts.length + families.length;

  const hand = (name: string, socket: import('node:child_process').SendHandle): void => {
    process.send?.(name, socket, {}, error => {
      if (error !== null) fail(error);
      unsent -= 1;
      if (unsent === 0) process.exit(0);
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
}

function fail(error: Error): never {
  process.stderr.write(`warden: ${error.message}\n`);
  process.exit(1);
}

const { TCP_PORTS = '', DNS_PORT, DNS_IPV4, DNS_IPV6, IPV6 } = process.env;
openSockets({
  tcpPorts: TCP_PORTS.split(' '),
  dnsPort: DNS_PORT === undefined ? null : Number(DNS_PORT),
  ipv6: IPV6 === 'yes',
  dnsAddresses: { udp4: DNS_IPV4, udp6: DNS_IPV6 },
});
