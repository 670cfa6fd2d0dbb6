/**
 * The forwarder (shell): runs in a sandbox's network namespace, accepts on sockets of the host's that the gateway
 * hands it, and connects each to a port of the sandbox. It ends with its channel, so with the gateway.
 *
 * CommonJS, and nothing imported but what it opens: it starts as fast as Node can.
 */
import type { Socket as DatagramSocket, RemoteInfo } from 'node:dgram';
import type { Socket } from 'node:net';

interface Forward {
  readonly id: number;
  readonly protocol: 'tcp' | 'udp';
  /** In this namespace. */
  readonly host: string;
  readonly port: number;
}

/** Of one forward at a time. What comes on top is refused, so that one client cannot take all descriptors. */
const MAX_CONNECTIONS = 1024;
const MAX_PEERS = 512;
/** After which a peer that sends nothing and is sent nothing is forgotten. */
const UDP_IDLE_MS = 60_000;

const net = process.getBuiltinModule('node:net');
const dgram = process.getBuiltinModule('node:dgram');

function tell(id: number, type: string, peer: string, sent = 0, received = 0): void {
  if (process.connected) process.send?.({ id, type, peer, sent, received });
}

function forwardTcp({ id, host, port }: Forward, handle: unknown): void {
  const server = net.createServer({ allowHalfOpen: true });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', near => {
    const peer = `${near.remoteAddress}:${near.remotePort}`;
    const far = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    near.setNoDelay(true);
    near.pause();
    far.once('connect', () => tell(id, 'opened', peer));
    far.once('error', () => near.resetAndDestroy());
    near.once('error', () => far.resetAndDestroy());
    let open = 2;
    const closed = (): void => {
      open -= 1;
      if (open === 0) tell(id, 'closed', peer, near.bytesRead, near.bytesWritten);
      else abandon(near, far);
    };
    near.once('close', closed);
    far.once('close', closed);
    // `end` of one side is the `end` of the other, no more: whoever has more to say still says it.
    near.pipe(far);
    far.pipe(near);
  });
  server.listen(handle as import('node:net').Server);
}

/** One side is gone altogether: the other has nobody to speak to. */
function abandon(near: Socket, far: Socket): void {
  for (const socket of [near, far]) {
    if (socket.destroyed) continue;
    if (socket.writableEnded) socket.destroySoon();
    else socket.destroy();
  }
}

function forwardUdp({ id, host, port }: Forward, socket: DatagramSocket): void {
  const peers = new Map<string, { readonly far: DatagramSocket; timer: NodeJS.Timeout }>();
  const forget = (peer: string): void => {
    const known = peers.get(peer);
    if (known === undefined) return;
    peers.delete(peer);
    clearTimeout(known.timer);
    known.far.close();
    tell(id, 'closed', peer);
  };
  const idle = (peer: string): NodeJS.Timeout => setTimeout(forget, UDP_IDLE_MS, peer).unref();
  const touch = (peer: string): void => {
    const known = peers.get(peer);
    if (known === undefined) return;
    clearTimeout(known.timer);
    known.timer = idle(peer);
  };
  const open = (peer: string, { address, port: from }: RemoteInfo): DatagramSocket => {
    if (peers.size >= MAX_PEERS) forget(peers.keys().next().value ?? '');
    const far = dgram.createSocket('udp4');
    // Nothing listens there, now: a datagram may be lost.
    far.on('error', () => {});
    far.on('message', bytes => {
      touch(peer);
      socket.send(bytes, from, address);
    });
    peers.set(peer, { far, timer: idle(peer) });
    tell(id, 'opened', peer);
    return far;
  };
  socket.on('error', () => {});
  socket.on('message', (bytes, from) => {
    const peer = `${from.address}:${from.port}`;
    const far = peers.get(peer)?.far ?? open(peer, from);
    touch(peer);
    far.send(bytes, port, host);
  });
}

process.on('message', (forward: Forward, handle: unknown) => {
  if (forward.protocol === 'tcp') forwardTcp(forward, handle);
  else forwardUdp(forward, handle as DatagramSocket);
  process.send?.({ id: forward.id, type: 'ready' });
});
process.once('disconnect', () => process.exit(0));
// A Ctrl-C on a shared terminal is the command's, not ours.
process.on('SIGINT', () => {});
