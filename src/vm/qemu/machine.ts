/** A machine of its own kernel, under QEMU (shell: starts processes, makes disks). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Forwards } from '../../net/forwards/index.js';
import { findProgram, SYSTEM_PATH } from '../../net/vestibule/index.js';
import type {
  ExecOptions,
  ExecResult,
  Execution,
  FileContent,
  FileInfo,
  InteractiveExecution,
  InteractiveOptions,
  Machine,
  MachineExit,
  StopOptions,
  VMConfig,
  WriteOptions,
} from '../backend.js';
import { collect } from '../collect.js';
import {
  DEFAULT_GRACEFUL_SHUTDOWN_PERIOD,
  DEFAULT_WORKSPACE,
  type ImageConfig,
  type PortForward,
} from '../config.js';
import { ErrVMNotRunning, ErrVMStartFailed, ErrVMState } from '../errors.js';
import { prepareGuest } from '../guest-setup.js';
import { openMachineForwards } from '../port-forwards.js';
import type { Agent } from './agent/agent.js';
import { type Attachments, planAttachments } from './attachments.js';
import { type Booted, boot } from './boot.js';
import { type Accel, bridgedMac, type DiskFile } from './command-line.js';
import { GuestFileAccess } from './guest-access.js';
import { GuestExec } from './guest-exec.js';
import type { GuestFiles, ImageFile } from './guest-files.js';
import { disksOf, type OpenShares, openShares } from './shares.js';
import { endOf, type Vmm, type VmmExit } from './vmm.js';

export interface QemuParts {
  readonly guest: GuestFiles;
  readonly lower: ImageFile;
  readonly imageConfig: ImageConfig;
  readonly accel: Accel;
  readonly bootTimeoutMs: number;
  readonly onConsole?: (bytes: Buffer) => void;
}

/** How long a machine that was asked to switch itself off may take after the grace is over. */
const SWITCH_OFF_MS = 3_000;

/** What a kernel writes of its end, its stack among it. */
const LINES_OF_PANIC = 80;

interface Running {
  readonly vmm: Vmm;
  readonly agent: Agent;
  readonly exec: GuestExec;
}

export class QemuMachine implements Machine {
  readonly rootfsPath: string | null;
  /** What the image says of the commands to run in it. */
  readonly imageConfig: ImageConfig;
  readonly limits = 'memory and processors are those of the machine';
  readonly notes: readonly string[];
  readonly #config: VMConfig;
  readonly #parts: QemuParts;
  readonly #files: GuestFileAccess;
  #forwards: Forwards | null = null;
  readonly #attached: Attachments;
  #shares: OpenShares | null = null;
  #running: Running | null = null;
  #vmm: Vmm | null = null;
  #ended: Promise<MachineExit> | null = null;
  #stopping = false;

  constructor(config: VMConfig, parts: QemuParts) {
    this.imageConfig = config.imageConfig ?? parts.imageConfig;
    this.#config = { ...config, imageConfig: this.imageConfig };
    this.#parts = parts;
    this.notes = config.bridge === undefined ? [] : [bridgedNote(config.bridge.name)];
    this.#attached = planAttachments(config.vfs, config.extraDisks);
    this.rootfsPath = findProgram('mke2fs') === null ? null : join(config.stateDir, 'upper.img');
    this.#files = new GuestFileAccess((operation, fields) => this.#alive().agent.open(operation, fields));
  }

  get forwards(): readonly PortForward[] {
    return this.#forwards?.open ?? [];
  }

  get pid(): number | null {
    return this.#running === null ? null : this.#running.vmm.pid;
  }

  async start(signal?: AbortSignal): Promise<void> {
    if (this.#ended !== null) throw new ErrVMState('a machine is started once');
    this.#ended = NOT_YET;
    signal?.throwIfAborted();
    const { vmm, agent } = await this.#boot(signal).catch(async error => {
      await this.#release();
      throw error;
    });
    this.#vmm = vmm;
    this.#ended = vmm.exit.then(async exit => {
      await this.#release();
      return this.#end(exit);
    });
    try {
      const env = await prepareGuest(
        this.#config,
        new GuestFileAccess((operation, fields) => agent.open(operation, fields)),
      );
      this.#forwards = await openMachineForwards(this.#config);
      signal?.throwIfAborted();
      const { workingDir, imageConfig, resources, vfs } = this.#config;
      const exec = new GuestExec(agent, {
        env,
        workingDir: workingDir ?? imageConfig?.workingDir ?? vfs.workspace ?? DEFAULT_WORKSPACE,
        user: imageConfig?.user ?? '',
        timeoutMs: resources.timeoutSeconds * 1000,
      });
      this.#running = { vmm, agent, exec };
    } catch (error) {
      vmm.kill();
      await this.#ended;
      throw error;
    }
  }

  async #boot(signal: AbortSignal | undefined): Promise<Booted> {
    const { id, hide, stateDir, door, bridge } = this.#config;
    const { shares, disks, words } = this.#attached;
    const own = await this.#disks();
    this.#shares = await openShares(shares, stateDir, hide);
    return await boot({
      ...this.#parts,
      config: this.#config,
      disks: [...own, ...disksOf(disks, hide)],
      shares: this.#shares.sockets,
      mountWords: words,
      cell: door?.cell ?? null,
      tap: door?.tap ?? null,
      bridge: bridge === undefined ? null : { ...bridge, mac: bridgedMac(id) },
      ...(signal && { signal }),
    });
  }

  /** What served the machine from outside: its ports lead nowhere now. */
  async #release(): Promise<void> {
    const [forwards, shares] = [this.#forwards, this.#shares];
    this.#forwards = this.#shares = null;
    await Promise.all([forwards?.close(), shares?.close()]);
  }

  #end(exit: VmmExit): MachineExit {
    this.#running = null;
    if (this.#stopping) return { reason: 'stopped', message: '' };
    const last = this.#vmm?.screen.tail(LINES_OF_PANIC) ?? '';
    const panic = /Kernel panic[^\n]*/.exec(last)?.[0];
    return { reason: 'ended', message: panic ?? endOf(exit) };
  }

  /** The image, read-only, and a disk for what changes; a machine that keeps nothing gets a new one each time. */
  async #disks(): Promise<readonly (DiskFile & { readonly source: string })[]> {
    const { lower } = this.#parts;
    const image = {
      name: 'lower',
      path: '/vm/lower',
      source: lower.path,
      format: 'raw',
      readonly: true,
      scratch: false,
    } as const;
    if (this.rootfsPath === null) return [image];
    const { persist, resources, stateDir } = this.#config;
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    if (!persist || !existsSync(this.rootfsPath))
      await makeDisk(this.rootfsPath, resources.diskSizeMb, persist);
    return [
      image,
      {
        name: 'upper',
        path: '/vm/upper',
        source: this.rootfsPath,
        format: 'raw',
        readonly: false,
        scratch: !persist,
      },
    ];
  }

  async stop({ graceMs = DEFAULT_GRACEFUL_SHUTDOWN_PERIOD }: StopOptions = {}): Promise<void> {
    const vmm = this.#vmm;
    if (vmm === null) return;
    this.#stopping = true;
    const running = this.#running;
    if (running !== null && (graceMs > 0 || this.#config.persist)) await switchOff(running, graceMs);
    vmm.kill();
    await this.#ended;
  }

  async wait(): Promise<MachineExit> {
    if (this.#ended === null) throw new ErrVMNotRunning();
    return await this.#ended;
  }

  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return await collect(await this.execStream(command, options), options);
  }

  async execStream(command: string, options: ExecOptions = {}): Promise<Execution> {
    return await this.#alive().exec.stream(command, options);
  }

  async execInteractive(command: string, options: InteractiveOptions = {}): Promise<InteractiveExecution> {
    return await this.#alive().exec.interactive(command, options);
  }

  #alive(): Running {
    if (this.#running === null || this.#stopping) throw new ErrVMNotRunning();
    return this.#running;
  }

  writeFile(path: string, content: FileContent, options?: WriteOptions): Promise<void> {
    return this.#files.writeFile(path, content, options);
  }

  readFile(path: string): Promise<Uint8Array> {
    return this.#files.readFile(path);
  }

  readFileStream(path: string): Promise<Readable> {
    return this.#files.readFileStream(path);
  }

  listFiles(path: string): Promise<readonly FileInfo[]> {
    return this.#files.listFiles(path);
  }

  searchFiles(path: string, pattern: string): Promise<readonly FileInfo[]> {
    return this.#files.searchFiles(path, pattern);
  }

  async close(): Promise<void> {
    await this.stop();
    if (!this.#config.persist && this.rootfsPath !== null) await rm(this.rootfsPath, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Between the call of `start` and the machine: nothing can have ended. */
function bridgedNote(bridge: string): string {
  return `bridged to ${bridge}, past the gateway: no policy is applied to its traffic, and no event tells of it`;
}

const NOT_YET = new Promise<MachineExit>(() => {});

/** Everybody in the guest is asked to end, then the disks are written; a guest that stands still is not waited for. */
async function switchOff({ vmm, agent }: Running, graceMs: number): Promise<void> {
  const channel = agent.open('poweroff', [String(graceMs)]);
  channel.stdin.end();
  channel.stdout.resume();
  channel.stderr.resume();
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>(resolve => {
    timer = setTimeout(resolve, graceMs + SWITCH_OFF_MS);
  });
  await Promise.race([vmm.exit, over]);
  clearTimeout(timer);
}

const run = promisify(execFile);

/** A sparse file with an empty file system. A throw-away one needs no journal. */
async function makeDisk(path: string, sizeMb: number, persist: boolean): Promise<void> {
  const part = `${path}.part`;
  await rm(part, { force: true });
  const file = await open(part, 'wx', 0o600);
  await file.truncate(sizeMb * 1024 * 1024);
  await file.close();
  const program = findProgram('mke2fs') ?? 'mke2fs';
  const journal = persist ? [] : ['-O', '^has_journal'];
  const args = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-m',
    '0',
    '-E',
    'lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0',
    ...journal,
    part,
  ];
  try {
    await run(program, args, { env: { PATH: SYSTEM_PATH } });
  } catch (cause) {
    await rm(part, { force: true });
    throw new ErrVMStartFailed(
      `the sandbox's disk cannot be made: ${String((cause as { stderr?: string }).stderr ?? cause).trim()}`,
      { cause },
    );
  }
  await rename(part, path);
}
