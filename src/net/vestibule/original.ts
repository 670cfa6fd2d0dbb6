/**
 * Where a connection was going before the gate's rules turned it to our listener: SO_ORIGINAL_DST of netfilter
 * (shell: one system call).
 */
import type { Socket } from 'node:net';
import { addressFromBytes, type Endpoint } from '../../core/address.js';
import { loadSyscalls } from './syscalls.js';

/** Null when the connection is gone already or was never turned. */
export type OriginalTarget = (socket: Socket) => Endpoint | null;

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** The same number in both families: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST. */
const ORIGINAL_DST = 80;
/** sizeof(struct sockaddr_in6), the larger of the two. */
const SOCKADDR_LEN = 28;

/** Resolves once the system call can be made. */
export async function loadOriginalTarget(): Promise<OriginalTarget> {
  const { getsockopt } = await loadSyscalls();
  const value = new Uint8Array(SOCKADDR_LEN);
  const length = new Uint32Array(1);
  return socket => {
    const fd = descriptorOf(socket);
    if (fd < 0) return null;
    length[0] = SOCKADDR_LEN;
    const level = isIPv6(socket) ? SOL_IPV6 : SOL_IP;
    if (getsockopt(fd, level, ORIGINAL_DST, value, length) !== 0) return null;
    return parseSockaddr(value);
  };
}

/** An IPv4 connection to the dual-stack listener shows as a mapped address. */
function isIPv6(socket: Socket): boolean {
  return socket.remoteFamily === 'IPv6' && socket.remoteAddress?.startsWith('::ffff:') !== true;
}

/** Node keeps the descriptor where it does not document it; -1 when the socket is closed. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle: { readonly fd: number } | null };
  return handle?.fd ?? -1;
}

const AF_INET = 2;
const AF_INET6 = 10;

/** Reads a `struct sockaddr_in` or `sockaddr_in6`: family in the machine's order (little-endian, on every
 * machine that we run on), port and address in network order. */
export function parseSockaddr(bytes: Uint8Array): Endpoint | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.getUint16(0, true);
  const port = view.getUint16(2);
  if (family === AF_INET) return { address: addressFromBytes(Uint8Array.from(bytes.subarray(4, 8))), port };
  if (family === AF_INET6) return { address: addressFromBytes(Uint8Array.from(bytes.subarray(8, 24))), port };
  return null;
}
