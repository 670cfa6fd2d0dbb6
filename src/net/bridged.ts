/**
 * A machine's link to a bridge of the host, past the gateway (shell: a descriptor, `ip`).
 *
 * Nothing here guards anything: whoever is on the bridge is the machine's neighbour. The interface lives as long as its
 * descriptor, so that nothing is left of it however its owner ends.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { GatewayError } from '../core/errors.js';
import { loadSyscalls } from './vestibule/syscalls.js';
import { SYSTEM_PATH, type Tools } from './vestibule/tools.js';

export interface BridgedTap {
  /** A TAP with `struct virtio_net_hdr` before each frame. Ours to close; a program that is to use it inherits it. */
  readonly fd: number;
  /** Of the interface on the host. */
  readonly name: string;
  /** The bridge's own: what it passes on. */
  readonly mtu: number;
  /** Once only. */
  close(): void;
}

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** struct ifreq: sixteen bytes of name, then the flags. */
const IFREQ_LEN = 40;
const NAME_LEN = 16;
/** The kernel puts the first free number in place of the `%d`. */
const TEMPLATE = 'sallyport%d';

/** Throws `NETWORK_UNSUPPORTED`, which says what is missing. */
export async function openBridgedTap(bridge: string, tools: Tools): Promise<BridgedTap> {
  if (process.getuid?.() !== 0) {
    throw new GatewayError(
      'NETWORK_UNSUPPORTED',
      'a bridged network changes the host’s own: only root may have one',
    );
  }
  const mtu = await mtuOf(bridge, tools);
  const { ioctl } = await loadSyscalls();
  const fd = openTun();
  try {
    const request = Buffer.alloc(IFREQ_LEN);
    request.write(TEMPLATE);
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, NAME_LEN);
    const words = new Uint16Array(request.buffer.slice(request.byteOffset, request.byteOffset + IFREQ_LEN));
    if (ioctl(fd, TUNSETIFF, words) !== 0)
      throw new GatewayError('NETWORK_UNSUPPORTED', 'the kernel makes no TAP for a bridged network');
    const name = Buffer.from(words.buffer, 0, NAME_LEN).toString('latin1').replace(/\0.*$/s, '');
    // No address of the host's on it: it is a port of the bridge and nothing else.
    await ip(tools, [
      'link',
      'set',
      'dev',
      name,
      'mtu',
      `${mtu}`,
      'addrgenmode',
      'none',
      'master',
      bridge,
      'up',
    ]);
    return { fd, name, mtu, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openTun(): number {
  try {
    return openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    throw new GatewayError('NETWORK_UNSUPPORTED', '/dev/net/tun cannot be opened: modprobe tun', { cause });
  }
}

async function mtuOf(bridge: string, tools: Tools): Promise<number> {
  const text = await ip(tools, ['-json', 'link', 'show', 'type', 'bridge']);
  const links = JSON.parse(text === '' ? '[]' : text) as readonly {
    readonly ifname?: string;
    readonly mtu?: number;
  }[];
  const link = links.find(({ ifname }) => ifname === bridge);
  if (link?.mtu !== undefined) return link.mtu;
  throw new GatewayError(
    'NETWORK_UNSUPPORTED',
    `there is no bridge ${bridge} on this host: make one (ip link add ${bridge} type bridge), or name another`,
  );
}

async function ip(tools: Tools, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(tools.ip, args, { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' } });
    return stdout.trim();
  } catch (cause) {
    const said = String((cause as { stderr?: string }).stderr ?? '').trim();
    throw new GatewayError('NETWORK_UNSUPPORTED', `the bridged network cannot be made: ${said}`, { cause });
  }
}
