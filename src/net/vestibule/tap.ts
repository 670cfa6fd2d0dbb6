/** The machine's end of its link (shell: sockets, a descriptor). */
import type { Socket as DatagramSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { answerDhcp } from './dhcp.js';
import { answerDhcp6, DHCP6_CLIENT_PORT } from './dhcp6.js';
import type { GateTap } from './gate.js';
import { type GuestPorts, linkLocalOf, type TapLease } from './tap-rules.js';

/** Where a machine monitor plugs in. */
export interface Tap {
  /**
   * An open TAP, non-blocking, with `struct virtio_net_hdr` of ten bytes before each frame. The door's to close; a
   * program that is to use it inherits it.
   */
  readonly fd: number;
  /** The addresses that the machine must use: frames under any other are dropped. */
  readonly lease: TapLease;
  /** A process in the gate, from where the machine is reached. */
  readonly gatePid: number;
  /** Lets connections that begin in the gate reach these ports of the machine, and their answers come back. */
  admit(ports: GuestPorts): Promise<void>;
}

const DHCP_CLIENT_PORT = 68;
const BROADCAST = '255.255.255.255';

/** Answers DHCP until the socket is closed. */
export function serveDhcp(socket: DatagramSocket, lease: TapLease): void {
  // The interface has gone, or the answer cannot be sent: the client asks again.
  socket.on('error', () => {});
  socket.on('message', datagram => {
    const answer = answerDhcp(datagram, lease);
    if (answer === null) return;
    socket.send(answer.bytes, DHCP_CLIENT_PORT, answer.broadcast ? BROADCAST : lease.guestIpv4);
  });
}

/** The same of DHCPv6. The socket is bound to the link, so the address needs no scope. */
export function serveDhcp6(socket: DatagramSocket, lease: TapLease): void {
  socket.on('error', () => {}); // As above.
  const guest = linkLocalOf(lease.guestMac);
  socket.on('message', datagram => {
    const answer = answerDhcp6(datagram, lease);
    if (answer !== null) socket.send(answer, DHCP6_CLIENT_PORT, guest);
  });
}

/** Once only. */
export function closeTap({ fd }: GateTap): void {
  closeSync(fd);
}
