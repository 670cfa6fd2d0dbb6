/**
 * The warden (shell): opens the gate's sockets, hands them to the gateway over the channel, and ends. A socket
 * belongs to the namespace in which it was made, so the gateway then accepts from a namespace that it is not in.
 *
 * CommonJS, and nothing imported but what it opens: its start is most of the door's.
 */
function openSockets(tcpPort: number, dnsPort: number, ipv6: boolean): void {
  const net = process.getBuiltinModule('node:net');
  const dgram = process.getBuiltinModule('node:dgram');
  const families = ipv6 ? (['udp4', 'udp6'] as const) : (['udp4'] as const);
  /** The warden ends once the gateway has acknowledged every socket. */
  let unsent = 1 + families.length;

  const hand = (name: string, socket: import('node:child_process').SendHandle): void => {
    process.send?.(name, socket, {}, error => {
      if (error !== null) fail(error);
      unsent -= 1;
      if (unsent === 0) process.exit(0);
    });
  };

  const server = net.createServer().on('error', fail);
  server.listen({ port: tcpPort, host: ipv6 ? '::' : '0.0.0.0', backlog: 4096 }, () => hand('tcp', server));
  for (const family of families) {
    const socket = dgram.createSocket({ type: family, ipv6Only: family === 'udp6' }).on('error', fail);
    socket.bind({ port: dnsPort, exclusive: true }, () => hand(family, socket));
  }
}

function fail(error: Error): never {
  process.stderr.write(`warden: ${error.message}\n`);
  process.exit(1);
}

openSockets(Number(process.env.TCP_PORT), Number(process.env.DNS_PORT), process.env.IPV6 === 'yes');
