/**
 * A machine of processes on this host's kernel: one set of namespaces, made once, that every command joins (shell: starts
 * processes).
 *
 * A holder keeps the namespaces; it is process 2 of the machine and does nothing. With it, or with the gateway, all of
 * the machine ends: the kernel sees to that. Commands see each other, and what they leave running stays.
 */

import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Forwards } from '../../net/forwards/index.js';
import { findTools, type Tools } from '../../net/vestibule/index.js';
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
import type { Limits, RunningCommand } from '../command.js';
import {
  DEFAULT_GRACEFUL_SHUTDOWN_PERIOD,
  DEFAULT_PIDS,
  type ImageConfig,
  type PortForward,
  type Resources,
} from '../config.js';
import { ErrVMNotRunning, ErrVMStartFailed, ErrVMState } from '../errors.js';
import { createExecFiles, type ExecFiles } from '../exec-files.js';
import { openMachineForwards } from '../port-forwards.js';
import { type Confinement, confine, groupName, removeNotedGroups } from './cgroup.js';
import { startPlanned } from './command.js';
import { commandOf } from './family.js';
import { Joiner } from './joiner.js';
import type { Premise, Premises } from './premises.js';
import { namesakes, parentOf, processes, signalProcess } from './signals.js';

export class ProcessMachine implements Machine {
  readonly imageConfig: ImageConfig;
  readonly #config: VMConfig;
  readonly #premise: Premise;
  readonly #tools: Tools;
  readonly #files: ExecFiles;
  #forwards: Forwards | null = null;
  #holder: RunningCommand | null = null;
  #joiner: Joiner | null = null;
  #premises: Premises | null = null;
  #confinement: Confinement | null = null;
  #ended: Promise<MachineExit> | null = null;
  #stopping = false;

  /** Throws `TOOL_MISSING`. */
  constructor(config: VMConfig, imageConfig: ImageConfig, premise: Premise) {
    this.#config = config;
    this.imageConfig = imageConfig;
    this.#premise = premise;
    this.#tools = findTools();
    this.#files = createExecFiles((command, options) => this.execStream(command, options));
  }

  get forwards(): readonly PortForward[] {
    return this.#forwards?.open ?? [];
  }

  get pid(): number | null {
    return this.#joiner?.inside ?? null;
  }

  get rootfsPath(): string | null {
    return this.#premises?.rootfsPath(this.pid) ?? null;
  }

  get limits(): string {
    return this.#confinement?.text ?? '';
  }

  get notes(): readonly string[] {
    return this.#premises?.notes ?? [];
  }

  async start(signal?: AbortSignal): Promise<void> {
    if (this.#ended !== null) throw new ErrVMState('a machine is started once');
    this.#ended = NOT_YET;
    signal?.throwIfAborted();
    const premises = await this.#premise(this.#tools);
    this.#premises = premises;
    try {
      await this.#come(premises, signal);
    } catch (error) {
      premises.release();
      await this.#confinement?.close();
      throw error;
    }
  }

  /** Resolves when the machine takes commands. */
  async #come(premises: Premises, signal: AbortSignal | undefined): Promise<void> {
    const { stateDir } = this.#config;
    const { tools } = premises.enclosure;
    const noted = join(stateDir, NOTED);
    await removeNotedGroups(noted);
    const confinement = await confine(groupName(), limitsOf(this.#config.resources), tools, noted);
    this.#confinement = confinement;
    const holder = await this.#hold(premises, confinement);
    this.#holder = holder;
    this.#ended = holder.exit.then(async ({ code }) => {
      await confinement.close();
      return this.#end(code);
    });
    const kill = (): void => holder.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });
    try {
      await readyOf(holder);
      const inside = firstOf(holder.pid);
      await premises.settle(inside);
      const timeoutMs = this.#config.resources.timeoutSeconds * 1000;
      const prefix = [...confinement.groups, ...confinement.rlimits];
      this.#joiner = new Joiner(this.#tools, { inside, outermost: holder.pid, prefix }, premises, timeoutMs);
      this.#forwards = await openMachineForwards(this.#config);
      signal?.throwIfAborted();
    } catch (error) {
      kill();
      throw error;
    } finally {
      signal?.removeEventListener('abort', kill);
    }
  }

  #hold(
    { enclosure, plan, holder, files, hide }: Premises,
    confinement: Confinement,
  ): Promise<RunningCommand> {
    const spec = {
      argv: holder,
      env: new Map([['PATH', '/usr/bin:/bin']]),
      workdir: '/',
      binds: [],
      noFsIsolation: false,
      hide: [...this.#config.hide, ...hide],
      hostname: this.#config.hostname,
      files,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    } as const;
    return startPlanned(enclosure, spec, plan, confinement);
  }

  #end(code: number): MachineExit {
    this.#joiner = null;
    this.#premises?.release();
    // Its ports lead nowhere now.
    void this.#forwards?.close();
    this.#forwards = null;
    if (this.#stopping) return { reason: 'stopped', message: '' };
    return { reason: 'ended', message: `the machine's first process ended with ${code}` };
  }

  async stop({ graceMs = DEFAULT_GRACEFUL_SHUTDOWN_PERIOD }: StopOptions = {}): Promise<void> {
    const holder = this.#holder;
    if (holder === null) return;
    this.#stopping = true;
    const inside = this.#joiner?.inside;
    if (inside !== undefined && graceMs > 0) await endGently(inside, graceMs);
    const forwards = this.#forwards;
    holder.kill('SIGKILL');
    await this.#ended;
    await forwards?.close();
  }

  async wait(): Promise<MachineExit> {
    if (this.#ended === null) throw new ErrVMNotRunning();
    return await this.#ended;
  }

  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return await collect(await this.execStream(command, options), options);
  }

  async execStream(command: string, options: ExecOptions = {}): Promise<Execution> {
    return await this.#running().stream(command, options);
  }

  async execInteractive(command: string, options: InteractiveOptions = {}): Promise<InteractiveExecution> {
    return await this.#running().interactive(command, options);
  }

  #running(): Joiner {
    if (this.#joiner === null || this.#stopping) throw new ErrVMNotRunning();
    return this.#joiner;
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
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** In the machine's folder: the control groups that it has, for whoever clears away after a kill. */
export const NOTED = 'control-groups';

const MIB = 1024 * 1024;

/** 0: no limit. */
function limitsOf({ memoryMb, cpus, pids = DEFAULT_PIDS }: Resources): Limits {
  return { memoryBytes: memoryMb === 0 ? null : memoryMb * MIB, cpus: cpus === 0 ? null : cpus, pids };
}

/** Between the call of `start` and the holder: nothing can have ended. */
const NOT_YET = new Promise<MachineExit>(() => {});

/** Resolves when the holder has spoken. Throws `VM_START_FAILED` with what bubblewrap said. */
async function readyOf({ stdout, stderr, exit }: RunningCommand): Promise<void> {
  let said = '';
  stderr?.on('data', (chunk: Buffer) => {
    if (said.length < MAX_SAID) said += chunk;
  });
  const spoke = new Promise<'ready'>(resolve => stdout?.once('data', () => resolve('ready')));
  const outcome = await Promise.race([spoke, exit]);
  stdout?.resume();
  if (outcome !== 'ready') throw new ErrVMStartFailed(`the machine did not come up: ${said.trim()}`);
}

const MAX_SAID = 4096;

/** The machine's first process of ours, as the host numbers it. */
function firstOf(outermost: number): number {
  const inside = commandOf(outermost, processes());
  if (inside !== null) return inside;
  throw new ErrVMStartFailed('the machine ended while it came up');
}

const LOOK_AGAIN_MS = 20;

/** Asks everybody in the machine to end, but the two that hold it; waits until they have, or the time is over. */
async function endGently(inside: number, graceMs: number): Promise<void> {
  const others = (): readonly number[] =>
    namesakes(inside).filter(pid => pid !== inside && !isInit(pid, inside));
  for (const pid of others()) signalProcess(pid, 'SIGTERM');
  const over = AbortSignal.timeout(graceMs);
  while (!over.aborted && others().length > 0) await delay(LOOK_AGAIN_MS);
}

/** bubblewrap, process 1: whoever reaps the orphans is asked last. */
function isInit(pid: number, inside: number): boolean {
  return parentOf(inside) === pid;
}
