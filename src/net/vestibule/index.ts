/** Opens the inner door (shell: starts processes). */
import { execFile } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { advertiseRouter } from './advertise.js';
import { createArrivals } from './arrivals.js';
import { type Gate, type GateOptions, type GateTap, openGate } from './gate.js';
import { createListeners, type Listeners } from './listeners.js';
import { loadOriginalTarget } from './original.js';
import { ownTarget } from './plain.js';
import type { PortRange } from './ports.js';
import { parseRefusals, parseTapRefusals, type Refusal } from './refusals.js';
import { portUpdate } from './ruleset.js';
import { closeTap, serveDhcp, serveDhcp6, type Tap } from './tap.js';
import { admissionRules, type TapLease } from './tap-rules.js';
import { findTools, nftMending, SYSTEM_PATH } from './tools.js';
import type { Cell, Vestibule, VestibuleOptions } from './vestibule.js';

export { installCommand, setupCommands, TOOL_NAMES, type ToolName } from './mending.js';
export { PLAIN_PORTS } from './plain.js';
export { ANY_PORT, type PortRange } from './ports.js';
export { type Refusal, refusalKind } from './refusals.js';
export { keepDescriptors, loadSyscalls, type Syscalls } from './syscalls.js';
export type { Tap } from './tap.js';
export { TAP_LEASE, type TapLease } from './tap-rules.js';
export { findPackageManager, findProgram, findTools, SYSTEM_PATH, type Tools } from './tools.js';
export type { Cell, Vestibule, VestibuleOptions } from './vestibule.js';

/**
 * Makes the namespaces, loads the rules and listens. Throws `TOOL_MISSING`, `NAMESPACE_DENIED` or `WARDEN_FAILED`;
 * the message holds the command that mends it.
 */
export async function openVestibule(options: VestibuleOptions): Promise<Vestibule> {
  options.signal?.throwIfAborted();
  const { tools = findTools() } = options;
  const lease = options.tap ?? null;
  if (lease !== null && tools.nft === null) throw new GatewayError('TOOL_MISSING', nftMending());
  // At the same time: the processes take some sixty milliseconds, the library ten.
  const [opened, loaded] = await Promise.allSettled([
    openAnyGate({ tools, ports: options.allowedPorts, tap: lease }),
    tools.nft === null ? ownTarget : loadOriginalTarget(),
  ]);
  if (opened.status === 'rejected') throw opened.reason;
  const { gate, userNamespace } = opened.value;
  if (loaded.status === 'rejected') {
    gate.end();
    throw loaded.reason;
  }
  const targetOf = loaded.value;
  for (const socket of gate.dnsSockets) options.onDnsUdp(socket);
  const served = gate.tap === null || lease === null ? null : await serveLink(gate.tap, lease);
  const arrivals = createArrivals(targetOf, options);
  const listeners = createListeners(gate, arrivals);
  const cell: Cell = { pid: gate.cellPid, userNamespace, ipv6: gate.ipv6, tools };
  const closed = gate.ended.then(() => {
    arrivals.close();
    for (const socket of gate.dnsSockets) closeDatagrams(socket);
    served?.close();
  });
  const close = async (): Promise<void> => {
    arrivals.close();
    gate.end();
    await closed;
  };
  options.signal?.addEventListener('abort', () => void close(), { once: true });
  if (options.signal?.aborted) await close();
  return {
    sandbox: options.sandbox,
    cell,
    tap: gate.tap === null || lease === null ? null : tapOf(gate, gate.tap.fd, cell, lease),
    reloadPorts: ports => reloadPorts(gate, cell, listeners, ports),
    refusals: () => listRefusals(gate, cell),
    closed,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What a guest finds by itself: its addresses and its router. `close` closes the TAP too. */
async function serveLink(tap: GateTap, lease: TapLease): Promise<{ close(): void }> {
  const { dhcpSocket, dhcp6Socket, routerFd } = tap;
  serveDhcp(dhcpSocket, lease);
  if (dhcp6Socket !== null) serveDhcp6(dhcp6Socket, lease);
  const router = routerFd === null ? null : await advertiseRouter(routerFd, lease);
  return {
    close() {
      router?.close();
      for (const socket of [dhcpSocket, dhcp6Socket]) if (socket !== null) closeDatagrams(socket);
      closeTap(tap);
    },
  };
}

/** A user namespace wherever the machine gives one, also to root; without it only root can have a door. */
async function openAnyGate(
  options: Omit<GateOptions, 'userNamespace'>,
): Promise<{ readonly gate: Gate; readonly userNamespace: boolean }> {
  try {
    return { gate: await openGate({ ...options, userNamespace: true }), userNamespace: true };
  } catch (error) {
    const denied = error instanceof GatewayError && error.code === 'NAMESPACE_DENIED';
    if (!denied || process.getuid?.() !== 0) throw error;
    return { gate: await openGate({ ...options, userNamespace: false }), userNamespace: false };
  }
}

function tapOf({ gatePid }: Gate, fd: number, cell: Cell, lease: TapLease): Tap {
  return {
    fd,
    lease,
    gatePid,
    admit: async ports => {
      if (cell.tools.nft === null) throw new GatewayError('TOOL_MISSING', nftMending());
      await nft(cell.tools.nft, cell, gatePid, ['-f', '-'], admissionRules(lease, ports));
    },
  };
}

async function reloadPorts(
  gate: Gate,
  cell: Cell,
  listeners: Listeners,
  ports: readonly PortRange[],
): Promise<void> {
  const { pid, userNamespace, tools } = cell;
  if (tools.nft === null)
    return await listeners.change(tools, nsenterArgs(gate.gatePid, userNamespace), ports);
  await Promise.all([
    // A machine's cell has no rules: nothing in it is connected to anything.
    ...(gate.tap === null ? [nft(tools.nft, cell, pid, ['-f', '-'], portUpdate('cell', ports))] : []),
    nft(tools.nft, cell, gate.gatePid, ['-f', '-'], portUpdate('gate', ports)),
  ]);
}

async function listRefusals(gate: Gate, cell: Cell): Promise<readonly Refusal[]> {
  const { nft: program } = cell.tools;
  if (program === null) return [];
  if (gate.tap !== null) {
    return parseTapRefusals(await nft(program, cell, gate.gatePid, ['-n', 'list', 'ruleset'], ''));
  }
  return parseRefusals(await nft(program, cell, cell.pid, ['-n', 'list', 'table', 'inet', 'cell'], ''));
}

const run = promisify(execFile);

/** Runs nft in the namespaces of `pid`. */
async function nft(
  program: string,
  cell: Cell,
  pid: number,
  args: readonly string[],
  input: string,
): Promise<string> {
  const enter = nsenterArgs(pid, cell.userNamespace);
  const pending = run(cell.tools.nsenter, [...enter, program, ...args], {
    env: { PATH: SYSTEM_PATH },
  });
  // nft may end before it has read its input (a listing needs none); its exit code says whether that is a failure.
  pending.child.stdin?.on('error', () => {}).end(input);
  const { stdout } = await pending;
  return stdout;
}

/** Arguments of nsenter that lead into the namespaces of `pid`; the program to run follows them. */
export function nsenterArgs(pid: number, userNamespace: boolean): readonly string[] {
  // The credentials are kept because the door's user namespace maps just one user and no groups.
  const user = userNamespace ? ['--user', '--preserve-credentials'] : [];
  return ['--target', String(pid), ...user, '--net', '--'];
}

function closeDatagrams(socket: DatagramSocket): void {
  try {
    socket.close();
  } catch {
    // The resolver closed it first: closed is what we want.
  }
}
