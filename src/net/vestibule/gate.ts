/** The door's processes, as the gateway holds them (shell): starts the scripts and receives the sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../../core/errors.js';
import { DHCP6_SERVER_PORT } from './dhcp6.js';
import { namespaceMending, tunMending } from './mending.js';
import { plainPorts } from './plain.js';
import type { PortRange } from './ports.js';
import { cellRules, DNS_PORT, GATE_IPV4, GATE_IPV6, gateRules, TCP_PORT } from './ruleset.js';
import { CELL_SCRIPT, GATE_SCRIPT, TAP_CELL_SCRIPT } from './script.js';
import { takeDescriptor } from './syscalls.js';
import { DHCP_SERVER_PORT, linkLocalOf, type TapLease, tapRules } from './tap-rules.js';
import { SYSTEM_PATH, type Tools } from './tools.js';

/** Namespaces that stand, and the sockets in them. */
export interface Gate {
  /** Any process of the gate, of the cell. */
  readonly gatePid: number;
  readonly cellPid: number;
  readonly ipv6: boolean;
  /** By the port that they listen on: one for all connections, or, in a plain door, one for each port. */
  readonly servers: ReadonlyMap<number, Server>;
  /** One for each family. */
  readonly dnsSockets: readonly DatagramSocket[];
  /** The machine's end of its link, and where it asks for its address; null for a process. */
  readonly tap: GateTap | null;
  /** Resolves when the last process of the door has ended. */
  readonly ended: Promise<void>;
  /** Ends the processes; `ended` follows. */
  end(): void;
}

export interface GateTap {
  /** An open TAP, non-blocking; each frame follows a `struct virtio_net_hdr` of ten bytes. Ours to close. */
  readonly fd: number;
  readonly dhcpSocket: DatagramSocket;
  /** Null without IPv6. */
  readonly dhcp6Socket: DatagramSocket | null;
  /** Where router solicitations come in, a raw socket. Ours to close; null without IPv6. */
  readonly routerFd: number | null;
}

export interface GateOptions {
  readonly tools: Tools;
  readonly ports: readonly PortRange[];
  /** False: namespaces without a user namespace around them, which only root can make. */
  readonly userNamespace: boolean;
  /** A machine's link instead of a process's; needs nft. */
  readonly tap: TapLease | null;
}

/** A door that takes longer than this to open never will. */
const OPEN_TIMEOUT_MS = 20_000;

/** Throws `NAMESPACE_DENIED` or `WARDEN_FAILED`, with what the programs said on standard error. */
export async function openGate(options: GateOptions): Promise<Gate> {
  const child = spawnGate(options);
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  const timer = setTimeout(() => child.kill('SIGKILL'), OPEN_TIMEOUT_MS);
  try {
    const [report, sockets] = await Promise.race([
      Promise.all([
        readReport(child),
        receiveSockets(child).then(all => allOrNever(all, options.tap !== null)),
      ]),
      failure(child),
    ]);
    const lifeline = child.stdio[4] as Writable;
    return { gatePid: pidOf(child), ...report, ...sockets, ended, end: () => lifeline.destroy() };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
    if (child.connected) child.disconnect();
  }
}

function spawnGate({ tools, ports, userNamespace, tap }: GateOptions): ChildProcess {
  const user = userNamespace ? ['--user', '--map-root-user'] : [];
  // Nothing of the gateway's own environment, which may hold secrets, goes near the sandbox.
  const env = {
    PATH: SYSTEM_PATH,
    SH: tools.sh,
    IP: tools.ip,
    UNSHARE: tools.unshare,
    NSENTER: tools.nsenter,
    NODE: process.execPath,
    WARDEN: wardenFile(),
    // Present whenever the kernel has the family, addresses or not.
    IPV6: existsSync('/proc/net/if_inet6') ? 'yes' : 'no',
    CELL_SCRIPT,
    TAP: '',
    ...(tools.nft === null ? plainEnv(ports) : ruledEnv(tools.nft, ports)),
    ...(tap === null ? {} : tapEnv(tap, ports)),
  };
  return spawn(tools.unshare, [...user, '--net', '--', tools.sh, '-c', GATE_SCRIPT], {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
  });
}

/** What turns every connection to one listener, and every question to one socket. */
function ruledEnv(nft: string, ports: readonly PortRange[]): Readonly<Record<string, string>> {
  return {
    NFT: nft,
    TCP_PORTS: String(TCP_PORT),
    DNS_PORT: String(DNS_PORT),
    GATE_RULES: gateRules(ports),
    CELL_RULES: cellRules(ports),
  };
}

/** Nothing is turned, so every port has its listener, and DNS is answered where resolv.conf says. */
function plainEnv(ports: readonly PortRange[]): Readonly<Record<string, string>> {
  const dns = { DNS_PORT: '53', DNS_IPV4: GATE_IPV4, DNS_IPV6: GATE_IPV6 };
  return { NFT: '', TCP_PORTS: plainPorts(ports).join(' '), ...dns };
}

function tapEnv(lease: TapLease, ports: readonly PortRange[]): Readonly<Record<string, string>> {
  return {
    TAP: 'gate0',
    DHCP_PORT: String(DHCP_SERVER_PORT),
    DHCP6_PORT: String(DHCP6_SERVER_PORT),
    GATE_RULES: tapRules(lease, ports),
    CELL_SCRIPT: TAP_CELL_SCRIPT,
    MTU: String(lease.mtu),
    GATE_MAC: lease.gateMac,
    GUEST_MAC: lease.guestMac,
    GATE_V4: `${lease.gateIpv4}/${lease.prefixIpv4}`,
    GUEST_V4: lease.guestIpv4,
    GATE_V6: `${lease.gateIpv6}/${lease.prefixIpv6}`,
    GUEST_V6: lease.guestIpv6,
    GUEST_LOCAL: linkLocalOf(lease.guestMac),
  };
}

/**
 * More listeners in the gate of `pid`, by their ports; `enter` are the arguments of nsenter that lead there. Throws
 * `WARDEN_FAILED`.
 */
export async function openListeners(
  { nsenter }: Tools,
  enter: readonly string[],
  ports: readonly number[],
  { ipv6 }: { readonly ipv6: boolean },
): Promise<ReadonlyMap<number, Server>> {
  const child = spawn(nsenter, [...enter, process.execPath, wardenFile()], {
    cwd: '/',
    env: { PATH: SYSTEM_PATH, TCP_PORTS: ports.join(' '), IPV6: ipv6 ? 'yes' : 'no' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const said = textOf(child.stderr as Readable);
  const missing = new Promise<never>((_resolve, reject) => child.once('error', reject));
  const { servers } = await Promise.race([receiveSockets(child), missing]);
  if (servers.size === ports.length) return servers;
  for (const server of servers.values()) server.close();
  throw gateError((await said).trim());
}

/** The compiled warden, also for a caller that runs from the sources. */
function wardenFile(): string {
  const here = fileURLToPath(new URL('./warden.cjs', import.meta.url));
  if (existsSync(here)) return here;
  return here.replace(/\/src\/(net\/vestibule\/warden\.cjs)$/, '/dist/$1');
}

interface Report {
  readonly cellPid: number;
  readonly ipv6: boolean;
}

const REPORT = /^ready (\d+) (4|46)\n$/;

async function readReport(child: ChildProcess): Promise<Report> {
  const text = await textOf(child.stdout as Readable);
  const [, pid, families] = REPORT.exec(text) ?? [];
  // Without a report the child has failed, and `failure` has more to say.
  if (pid === undefined) return new Promise(() => {});
  return { cellPid: Number(pid), ipv6: families === '46' };
}

type Sockets = Pick<Gate, 'servers' | 'dnsSockets' | 'tap'>;

/** Without its sockets the door has failed, and `failure` has more to say. */
function allOrNever(sockets: Sockets, wantsTap: boolean): Sockets | Promise<never> {
  const { servers, dnsSockets, tap } = sockets;
  const all = servers.size > 0 && dnsSockets.length > 0 && (tap !== null || !wantsTap);
  return all ? sockets : new Promise(() => {});
}

/** What the warden has handed over when its end of the channel closes: everything, unless it has failed. */
function receiveSockets(child: ChildProcess): Promise<Sockets> {
  return new Promise((resolve, reject) => {
    const servers = new Map<number, Server>();
    const dnsSockets: DatagramSocket[] = [];
    let dhcpSocket: DatagramSocket | null = null;
    let dhcp6Socket: DatagramSocket | null = null;
    let taken: Promise<Descriptors> | null = null;
    child.on('message', (name, handle) => {
      if (handle instanceof Server) servers.set(Number(name), handle);
      else if (name === 'dhcp') dhcpSocket = handle as unknown as DatagramSocket;
      else if (name === 'dhcp6') dhcp6Socket = handle as unknown as DatagramSocket;
      else if (handle !== undefined) dnsSockets.push(handle as unknown as DatagramSocket);
      else taken = takeTap(child, name);
    });
    child.once('disconnect', () => {
      const tapOf = async (): Promise<GateTap | null> =>
        taken === null || dhcpSocket === null ? null : { ...(await taken), dhcpSocket, dhcp6Socket };
      tapOf().then(tap => resolve({ servers, dnsSockets, tap }), reject);
    });
  });
}

type Descriptors = Pick<GateTap, 'fd' | 'routerFd'>;

/** The warden says where it holds them; they are ours once we have descriptors of our own. */
async function takeTap(child: ChildProcess, message: unknown): Promise<Descriptors> {
  const { pid, fd, router } = message as {
    readonly pid: number;
    readonly fd: number;
    readonly router: number | null;
  };
  const own = await takeDescriptor(pid, fd);
  const routerFd = router === null ? null : await takeDescriptor(pid, router);
  child.send('taken');
  return { fd: own, routerFd };
}

/** Rejects when the door's first process ends: before the door is open that is a failure. */
async function failure(child: ChildProcess): Promise<never> {
  const said = textOf(child.stderr as Readable);
  await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  throw gateError((await said).trim());
}

function gateError(said: string): GatewayError {
  if (/^open: |TUNSETIFF|^warden: .*\/dev\/net\/tun/m.test(said))
    return new GatewayError('TUN_DENIED', tunMending(said));
  const denied = /^unshare: |Operation not permitted/m.test(said);
  if (!denied) return new GatewayError('WARDEN_FAILED', `the sandbox's network could not be made: ${said}`);
  const mending = namespaceMending(readSwitch);
  const advice =
    mending.length > 0
      ? ` Mend it, as root, with \`${mending.join('; ')}\`.`
      : ' `sallyport doctor` says more.';
  return new GatewayError('NAMESPACE_DENIED', `this machine refuses namespaces: ${said}.${advice}`);
}

function readSwitch(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null; // this kernel does not have the switch, so it does not refuse by it
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new GatewayError('WARDEN_FAILED', 'the door has no process');
  return child.pid;
}
