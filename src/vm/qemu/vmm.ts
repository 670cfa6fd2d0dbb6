/**
 * Starts QEMU in a cell of its own, and follows it (shell: starts processes).
 *
 * The chain is `setpriv` → `nsenter` (into the door's empty cell) → `bwrap` → QEMU, one process after the other but for
 * bubblewrap's two: whichever ends, all end, and when the gateway is killed the kernel kills the first.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex, Readable } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type Cell, findTools, keepDescriptors, nsenterArgs } from '../../net/vestibule/index.js';
import { needProgram } from './closure.js';
import { type CommandLine, qemuArgs } from './command-line.js';
import { Console } from './console.js';
import { enclosureArgs, type VmmFile } from './enclosure.js';
import { Monitor } from './monitor.js';

/** Numbers of the inherited descriptors. */
export const AGENT_FD = 3;
export const MONITOR_FD = 4;
export const TAP_FD = 5;

export interface VmmSpec {
  /** Null: no network, and no door. */
  readonly cell: Cell | null;
  /** The TAP, as this process holds it; it stays ours. */
  readonly tapFd: number | null;
  readonly line: CommandLine;
  readonly files: readonly VmmFile[];
  /** Told of what the guest writes on its console. */
  readonly onConsole?: (bytes: Buffer) => void;
}

export interface VmmExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What QEMU or the programs around it said on standard error. */
  readonly said: string;
}

export interface Vmm {
  readonly pid: number;
  readonly agent: Duplex;
  readonly monitor: Monitor;
  readonly screen: Console;
  /** Never rejects. */
  readonly exit: Promise<VmmExit>;
  kill(): void;
}

const MOST_SAID = 8192;

/** Bubblewrap tells a signal that ended QEMU as a shell would. */
const KILLED = 128;

/** One sentence for an operator. */
export function endOf({ code, signal, said }: VmmExit): string {
  if (said !== '') return said;
  if (signal !== null || (code ?? 0) > KILLED) {
    const number = signal === null ? (code ?? 0) - KILLED : constants.signals[signal];
    const [name = `signal ${number}`] =
      Object.entries(constants.signals).find(([, value]) => value === number) ?? [];
    return `the machine was killed from outside (${name}): by somebody, or for want of memory`;
  }
  return code === 0 ? 'the machine switched itself off' : `QEMU ended with ${code}`;
}

export async function startVmm(spec: VmmSpec): Promise<Vmm> {
  const program = needProgram(spec.line.arch === 'x64' ? 'qemu-system-x86_64' : 'qemu-system-aarch64');
  await keepDescriptors();
  const child = spawnChain(program, spec);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', () => resolve());
    child.once('error', cause =>
      reject(new GatewayError('VM_START_FAILED', `the machine cannot start: ${cause.message}`, { cause })),
    );
  });
  const said = tailOf(child.stderr as Readable);
  const exit = new Promise<VmmExit>(resolve => {
    child.once('close', (code, signal) => resolve({ code, signal, said: said().trim() }));
  });
  const streams = child.stdio as unknown as readonly Duplex[];
  return {
    pid: child.pid ?? 0,
    agent: streams[AGENT_FD] as Duplex,
    monitor: new Monitor(streams[MONITOR_FD] as Duplex),
    screen: new Console(child.stdout as Readable, spec.onConsole),
    exit,
    kill: () => void child.kill('SIGKILL'),
  };
}

function spawnChain(program: string, { cell, tapFd, line, files }: VmmSpec): ChildProcess {
  const tools = cell?.tools ?? findTools();
  const enclosure = enclosureArgs({
    program,
    ...systemOf(line.arch),
    files,
    kvm: line.accel === 'kvm',
    identity:
      cell === null || cell.userNamespace
        ? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
        : null,
    unshareNet: cell === null,
  });
  const enter = cell === null ? [] : [tools.nsenter, ...nsenterArgs(cell.pid, cell.userNamespace)];
  const chain = [
    '--pdeathsig',
    'KILL',
    '--',
    ...enter,
    tools.bwrap,
    ...enclosure,
    '--',
    program,
    ...qemuArgs(line),
  ];
  return spawn(tools.setpriv, chain, {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', ...(tapFd === null ? [] : [tapFd])],
  });
}

/** What QEMU loads: its libraries and modules, its firmware, the loader's table. */
const SYSTEM = ['/usr/lib', '/usr/lib64', '/usr/share/qemu', '/usr/share/seabios', '/etc/ld.so.cache'];
const ROOT_LINKS = ['/lib', '/lib64'];

function systemOf(arch: 'x64' | 'arm64'): { system: readonly string[]; links: ReadonlyMap<string, string> } {
  const firmware = arch === 'arm64' ? ['/usr/share/AAVMF', '/usr/share/qemu-efi-aarch64'] : [];
  const links = new Map<string, string>();
  const folders: string[] = [];
  for (const path of ROOT_LINKS.filter(name => existsSync(name))) {
    const target = linkTarget(path);
    if (target === null) folders.push(path);
    else links.set(path, target);
  }
  return { system: [...SYSTEM, ...firmware, ...folders].filter(path => existsSync(path)), links };
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null; // a folder, as before distributions merged it into /usr
  }
}

function tailOf(stream: Readable): () => string {
  let text = '';
  stream.on('data', chunk => {
    text = (text + String(chunk)).slice(-MOST_SAID);
  });
  return () => text;
}
