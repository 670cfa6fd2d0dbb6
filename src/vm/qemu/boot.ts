/** From files to a machine that answers (shell: one timer). */
import { type Cell, TAP_LEASE, type Tap, type TapLease } from '../../net/vestibule/index.js';
import type { BridgedLink, VMConfig } from '../backend.js';
import { ErrVMStartFailed } from '../errors.js';
import { Agent } from './agent/agent.js';
import {
  type Accel,
  bridgedKernelArg,
  type CommandLine,
  type DiskFile,
  netKernelArg,
} from './command-line.js';
import type { GuestFiles, ImageFile } from './guest-files.js';
import { AGENT_FD, MONITOR_FD, startVmm, TAP_FD, type Vmm } from './vmm.js';

export interface BootSpec {
  readonly config: Pick<VMConfig, 'resources' | 'hostname' | 'mtu'>;
  readonly guest: GuestFiles;
  readonly lower: ImageFile;
  readonly accel: Accel;
  /** `source` is the file on the host. */
  readonly disks: readonly (DiskFile & { readonly source: string })[];
  /** Folders of the host, by tag: the sockets that serve them. */
  readonly shares: ReadonlyMap<string, string>;
  /** What the guest's first program mounts. */
  readonly mountWords: readonly string[];
  readonly cell: Cell | null;
  readonly tap: Tap | null;
  /** In place of a door; the link's MAC beside it. */
  readonly bridge: (BridgedLink & { readonly mac: string }) | null;
  readonly bootTimeoutMs: number;
  readonly onConsole?: (bytes: Buffer) => void;
  readonly signal?: AbortSignal;
}

export interface Booted {
  readonly vmm: Vmm;
  readonly agent: Agent;
}

/** Throws `VM_START_FAILED` with the last that the guest wrote on its console; nothing is left then. */
export async function boot(spec: BootSpec): Promise<Booted> {
  const { guest, disks, shares, cell, tap, signal } = spec;
  const vmm = await startVmm({
    cell,
    tapFd: tap?.fd ?? spec.bridge?.fd ?? null,
    line: lineOf(spec),
    files: [
      { source: guest.kernel, target: '/vm/kernel', writable: false },
      { source: guest.initramfs, target: '/vm/initramfs', writable: false },
      ...disks.map(({ source, path, readonly }) => ({ source, target: path, writable: !readonly })),
      ...[...shares].map(([tag, source]) => ({ source, target: `/vm/${tag}`, writable: true })),
    ],
    ...(spec.onConsole && { onConsole: spec.onConsole }),
  });
  const agent = new Agent(vmm.agent);
  const giveUp = new AbortController();
  const timer = setTimeout(
    () => giveUp.abort(`it did not come up within ${spec.bootTimeoutMs} ms`),
    spec.bootTimeoutMs,
  );
  const abort = (): void => giveUp.abort('the caller gave up');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([agent.ready, refusal(giveUp.signal), ended(vmm)]);
    return { vmm, agent };
  } catch (cause) {
    vmm.kill();
    await vmm.exit;
    signal?.throwIfAborted();
    throw new ErrVMStartFailed(failureText(cause, vmm), { cause });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function failureText(cause: unknown, vmm: Vmm): string {
  const last = vmm.screen.tail();
  const why = cause instanceof Error ? cause.message : String(cause);
  return `the machine did not start: ${why}${last === '' ? '' : `\nthe last of its console:\n${last}`}`;
}

async function ended(vmm: Vmm): Promise<never> {
  const { code, signal, said } = await vmm.exit;
  throw new Error(said === '' ? `the machine ended (${signal ?? code})` : said);
}

function refusal(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error(String(signal.reason))), { once: true });
  });
}

function lineOf({ config, lower, accel, disks, shares, mountWords, ...links }: BootSpec): CommandLine {
  const { net, words } = netOf(links, config.mtu);
  const modules = [...(net === null ? [] : ['net']), ...(shares.size === 0 ? [] : ['virtiofs'])];
  return {
    accel,
    arch: process.arch === 'arm64' ? 'arm64' : 'x64',
    cpus: Math.max(1, Math.ceil(config.resources.cpus)),
    memoryMb: config.resources.memoryMb,
    kernel: '/vm/kernel',
    initramfs: '/vm/initramfs',
    kernelArgs: [
      `sp.lower=${lower.fsType}`,
      `sp.upper=${disks.some(({ name }) => name === 'upper') ? 'disk' : 'memory'}`,
      `sp.hostname=${config.hostname}`,
      `sp.modules=${modules.join(',')}`,
      ...mountWords,
      ...words,
    ],
    disks,
    agentFd: AGENT_FD,
    monitorFd: MONITOR_FD,
    net,
    shares: [...shares.keys()].map(tag => ({ tag, path: `/vm/${tag}` })),
    more: [],
  };
}

interface Net extends Pick<CommandLine, 'net'> {
  /** What the guest's first program is told of it. */
  readonly words: readonly string[];
}

function netOf(
  { cell, tap, bridge }: Pick<BootSpec, 'cell' | 'tap' | 'bridge'>,
  mtu: number | undefined,
): Net {
  if (tap !== null) {
    const lease = leaseFor(tap.lease, mtu);
    const net = { fd: TAP_FD, mac: lease.guestMac, mtu: lease.mtu };
    return { net, words: [netKernelArg(lease, cell?.ipv6 === true)] };
  }
  if (bridge === null) return { net: null, words: [] };
  const own = Math.min(mtu ?? bridge.mtu, bridge.mtu);
  return {
    net: { fd: TAP_FD, mac: bridge.mac, mtu: own },
    words: [bridgedKernelArg({ ...bridge, mtu: own })],
  };
}

/** A smaller MTU is the guest's own; the gate takes what comes. */
function leaseFor(lease: TapLease, mtu: number | undefined): TapLease {
  return { ...lease, mtu: Math.min(mtu ?? TAP_LEASE.mtu, lease.mtu) };
}
