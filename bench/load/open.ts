/** Opens a verified TLS connection along a route (shell: sockets). */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import type { Route } from './command.js';

/** One context for all connections of a route: building it is not what is measured. */
const contexts = new Map<string, tls.SecureContext>();

/** A connection to `host`, handshaken in full: nothing is resumed. Rejects with the error's code as its message. */
export async function openTls(route: Route, host: string, port: number): Promise<tls.TLSSocket> {
  const address = route.via === 'resolve' ? await addressOf(host) : route.address;
  const socket = net.connect({
    host: address,
    port: route.via === 'connect' ? route.port : port,
    noDelay: true,
    highWaterMark: 1 << 18,
  } as net.TcpNetConnectOpts);
  await once(socket, 'connect');
  if (route.via === 'connect') await tunnel(socket, `${route.connectTo ?? host}:${port}`);
  const secured = tls.connect({
    socket,
    servername: host,
    secureContext: contextOf(route),
    highWaterMark: 1 << 18,
    checkServerIdentity: () => undefined,
  } as tls.ConnectionOptions);
  // For `checkServerIdentity` Node makes an object of each certificate of the chain, at the price of a handshake. The
  // chain is verified all the same, and the name by what costs less.
  Object.assign(secured, { getPeerCertificate: () => NO_CERTIFICATE });
  await once(secured, 'secureConnect');
  if (secured.getPeerX509Certificate()?.checkHost(host) === undefined) throw new Error('wrong-name');
  return secured;
}

const NO_CERTIFICATE = {};

const addresses = new Map<string, string>();

/** Looked up once, as a client that keeps names for their TTL does: a first visit pays for it, a second does not. */
async function addressOf(host: string): Promise<string> {
  let address = addresses.get(host);
  if (address === undefined) {
    address = (await lookup(host, 4)).address;
    addresses.set(host, address);
  }
  return address;
}

async function tunnel(socket: net.Socket, authority: string): Promise<void> {
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  let head = '';
  while (!head.includes('\r\n\r\n')) {
    await once(socket, 'readable');
    head += (socket.read() as Buffer | null)?.toString('latin1') ?? '';
  }
  if (!/^HTTP\/1\.[01] 200 /.test(head)) throw new Error(`connect-${head.slice(9, 12)}`);
}

function contextOf({ ca }: Route): tls.SecureContext {
  const path = ca.startsWith('$') ? (process.env[ca.slice(1)] ?? '') : ca;
  let context = contexts.get(path);
  if (context === undefined) {
    context = tls.createSecureContext({ ca: readFileSync(path) });
    contexts.set(path, context);
  }
  return context;
}
