/** The door's processes, as the gateway holds them (shell): starts the scripts and receives the sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../../core/errors.js';
import { namespaceMending } from './mending.js';
import type { PortRange } from './ports.js';
import { cellRules, DNS_PORT, gateRules, TCP_PORT } from './ruleset.js';
import { CELL_SCRIPT, GATE_SCRIPT } from './script.js';
import { SYSTEM_PATH, type Tools } from './tools.js';

/** Namespaces that stand, and the sockets in them. */
export interface Gate {
  /** Any process of the gate, of the cell. */
  readonly gatePid: number;
  readonly cellPid: number;
  readonly ipv6: boolean;
  readonly server: Server;
  /** One for each family. */
  readonly dnsSockets: readonly DatagramSocket[];
  /** Resolves when the last process of the door has ended. */
  readonly ended: Promise<void>;
  /** Ends the processes; `ended` follows. */
  end(): void;
}

export interface GateOptions {
  readonly tools: Tools;
  readonly ports: readonly PortRange[];
  /** False: namespaces without a user namespace around them, which only root can make. */
  readonly userNamespace: boolean;
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
      Promise.all([readReport(child), receiveSockets(child)]),
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

function spawnGate({ tools, ports, userNamespace }: GateOptions): ChildProcess {
  const user = userNamespace ? ['--user', '--map-root-user'] : [];
  // Nothing of the gateway's own environment, which may hold secrets, goes near the sandbox.
  const env = {
    PATH: SYSTEM_PATH,
    SH: tools.sh,
    IP: tools.ip,
    NFT: tools.nft,
    UNSHARE: tools.unshare,
    NSENTER: tools.nsenter,
    NODE: process.execPath,
    WARDEN: wardenFile(),
    TCP_PORT: String(TCP_PORT),
    DNS_PORT: String(DNS_PORT),
    // Present whenever the kernel has the family, addresses or not.
    IPV6: existsSync('/proc/net/if_inet6') ? 'yes' : 'no',
    GATE_RULES: gateRules(ports),
    CELL_RULES: cellRules(ports),
    CELL_SCRIPT,
  };
  return spawn(tools.unshare, [...user, '--net', '--', tools.sh, '-c', GATE_SCRIPT], {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
  });
}

/** The compiled warden, also for a caller that runs from the sources. */
function wardenFile(): string {
  const here = fileURLToPath(new URL('./warden.cjs', import.meta.url));
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

interface Sockets {
  readonly server: Server;
  readonly dnsSockets: readonly DatagramSocket[];
}

function receiveSockets(child: ChildProcess): Promise<Sockets> {
  return new Promise(resolve => {
    let server: Server | null = null;
    const dnsSockets: DatagramSocket[] = [];
    child.on('message', (_name, handle) => {
      if (handle instanceof Server) server = handle;
      else if (handle !== undefined) dnsSockets.push(handle as unknown as DatagramSocket);
    });
    // The warden's end of the channel closes when it has handed over everything, or has failed.
    child.once('disconnect', () => {
      if (server !== null && dnsSockets.length > 0) resolve({ server, dnsSockets });
    });
  });
}

/** Rejects when the door's first process ends: before the door is open that is a failure. */
async function failure(child: ChildProcess): Promise<never> {
  const said = textOf(child.stderr as Readable);
  await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  throw gateError((await said).trim());
}

function gateError(said: string): GatewayError {
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
