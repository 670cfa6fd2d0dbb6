/**
 * Tells a machine that asks who its router is (shell: two timers, system calls).
 *
 * Node has no raw sockets, and none that it would wait for: the socket is asked twice a second, which is as soon as an
 * answer may come (RFC 4861 §6.2.6), and costs nothing where nobody asks.
 */
import { closeSync } from 'node:fs';
import { ADVERTISED_SECONDS, emitRouterAdvertisement } from './advertisement.js';
import { ipv6Octets } from './octets.js';
import { loadSyscalls } from './syscalls.js';
import type { TapLease } from './tap-rules.js';

const ASK_MS = 500;
/** Nobody's knowledge runs out while it is still there. */
const UNASKED_MS = (ADVERTISED_SECONDS / 3) * 1000;
/** The socket lets solicitations through and nothing else; so many of one guest are one question. */
const MOST_AT_ONCE = 64;
const AF_INET6 = 10;
const ALL_NODES = 'ff02::1';
const DONT_WAIT = 0x40;

export interface Advertiser {
  close(): void;
}

/** `fd` is a raw socket of the gate, bound to the interface, and ours to close. */
export async function advertiseRouter(fd: number, lease: TapLease): Promise<Advertiser> {
  const { recv, sendto } = await loadSyscalls();
  const advertisement = emitRouterAdvertisement(lease);
  const target = everybody();
  const question = Buffer.alloc(128);
  // What cannot be sent, because the guest has not plugged in or the interface has gone, is asked for again.
  const tell = (): void =>
    void sendto(fd, advertisement, advertisement.length, DONT_WAIT, target, target.length);
  const answer = (): void => {
    let asked = 0;
    while (asked < MOST_AT_ONCE && recv(fd, question, question.length, DONT_WAIT) >= 0) asked += 1;
    if (asked > 0) tell();
  };
  const timers = [setInterval(answer, ASK_MS).unref(), setInterval(tell, UNASKED_MS).unref()];
  return {
    close() {
      for (const timer of timers) clearInterval(timer);
      closeSync(fd);
    },
  };
}

/** `struct sockaddr_in6`: the socket's own interface is the scope. */
function everybody(): Uint8Array {
  const address = Buffer.alloc(28);
  new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_INET6;
  address.set(ipv6Octets(ALL_NODES), 8);
  return address;
}
