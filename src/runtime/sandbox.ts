/** One sandbox, as whoever opened its home may use it (shell: talks to its supervisor). */
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Event } from '../events/event.js';
import {
  type Config,
  collect,
  DEFAULT_GRACEFUL_SHUTDOWN_PERIOD,
  ErrInvalidConfig,
  ErrVMNotFound,
  ErrVMNotRunning,
  ErrVMState,
  ErrVMUnreachable,
  type ExecOptions,
  type ExecResult,
  type Execution,
  type FileContent,
  type FileInfo,
  type InteractiveExecution,
  type InteractiveOptions,
  type MachineExit,
  type StopOptions,
  type WriteOptions,
} from '../vm/index.js';
import { ControlClient } from './control-client.js';
import { isLive, type SandboxRecord, type SandboxState, withoutValues } from './record.js';
import type { RuntimeCore } from './runtime.js';

export interface SandboxInfo {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly backend: string;
  readonly state: SandboxState;
  /** Why it is in this state; empty where there is nothing to say. */
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Of the machine's first process on the host; null while none runs. */
  readonly pid: number | null;
  /** What holds it to its memory, processors and processes, one sentence; empty before the first start. */
  readonly limits: string;
  /** What else holds in another way than one may think. */
  readonly notes: readonly string[];
}

export interface StartOptions {
  /** Values of secrets that were given by value to another process: they are not written down. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** It outlives this process. Default: as it was made. */
  readonly detach?: boolean;
  /** Where `value_from: env` looks. Default: this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface SandboxStopOptions extends StopOptions {
  /** Kills the supervisor where it does not answer, and with it all of the sandbox. */
  readonly force?: boolean;
}

export interface EventOptions {
  /** Begin behind this one of the running supervisor's events; 0: with the first that is kept. Default: from now on. */
  readonly after?: number;
  readonly signal?: AbortSignal;
}

export class Sandbox implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  /** Without the values of secrets. */
  readonly config: Config;
  readonly #core: RuntimeCore;
  readonly #client: ControlClient;
  #pid: number | null = null;
  #closed = false;

  constructor(core: RuntimeCore, record: SandboxRecord) {
    this.id = record.id;
    this.name = record.name;
    this.config = withoutValues(record.config);
    this.#core = core;
    this.#client = new ControlClient(core.store.pathsOf(record.id).socket);
  }

  /** As last seen by `start` or `info`. */
  get pid(): number | null {
    return this.#pid;
  }

  async info(): Promise<SandboxInfo> {
    const record = await this.#record();
    this.#pid = record.state === 'running' ? await this.#machinePid() : null;
    return infoOf(record, this.#pid);
  }

  async #machinePid(): Promise<number | null> {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      return (await this.#client.json<{ pid: number | null }>('GET', 'info', { signal })).pid;
    } catch {
      return null; // It ended between the look and the question, or hangs.
    }
  }

  /** Resolves when it takes commands. Throws `VM_STATE_INVALID` unless it is created, stopped or failed. */
  async start(options: StartOptions = {}): Promise<void> {
    const record = await this.#record();
    if (isLive(record.state)) {
      throw new ErrVMState(
        `${this.name} is ${record.state}; only one that is created, stopped or failed can be started`,
      );
    }
    await this.#core.launch(record, options);
    this.#pid = await this.#machinePid();
  }

  /** Asks it to end, waits the grace, kills what is left. Of one that does not run: nothing to do. */
  async stop({
    graceMs = DEFAULT_GRACEFUL_SHUTDOWN_PERIOD,
    force = false,
  }: SandboxStopOptions = {}): Promise<void> {
    const record = await this.#record();
    if (!isLive(record.state)) return;
    try {
      const signal = force ? AbortSignal.timeout(graceMs + FORCED_MS) : undefined;
      await this.#client.json('POST', 'stop', { query: { grace_ms: graceMs }, signal });
    } catch (error) {
      // Not up yet, or on its way down: the lock tells when it is over.
      if (!force && !(error instanceof ErrVMNotRunning) && !(error instanceof ErrVMUnreachable)) throw error;
    }
    const over = await this.#core.settled(this.id, force ? FORCED_MS : PATIENCE_MS);
    if (!over && force) await this.#core.killSupervisor(record);
    else if (!over) throw new ErrVMUnreachable(`${this.name} does not end; stop it with force`);
    this.#pid = null;
  }

  /** Resolves when it has ended. Throws `VM_NOT_RUNNING` where it does not run. */
  async wait(): Promise<MachineExit> {
    try {
      return await this.#client.json<MachineExit>('GET', 'wait');
    } catch (error) {
      if (!(error instanceof ErrVMUnreachable)) throw error;
      // A process that dies closes its socket a moment before its lock.
      await this.#core.settled(this.id, FORCED_MS);
      const { message } = await this.#record();
      return { reason: 'ended', message };
    } finally {
      this.#pid = null;
    }
  }

  /** Runs a command to its end: `exec('make test')`, or a program with `args`. Throws `TIMEOUT`, `VM_NOT_RUNNING`. */
  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return await collect(await this.execStream(command, options), options);
  }

  async execStream(command: string, options: ExecOptions = {}): Promise<Execution> {
    return await this.#running(() => this.#client.execStream(command, options));
  }

  /** On a terminal of its own. */
  async execInteractive(command: string, options: InteractiveOptions = {}): Promise<InteractiveExecution> {
    return await this.#running(() => this.#client.execInteractive(command, options));
  }

  async writeFile(path: string, content: FileContent, { mode }: WriteOptions = {}): Promise<void> {
    const query = { path, mode: mode?.toString(8) };
    await this.#running(() => this.#client.json('PUT', 'files', { query, body: content }));
  }

  async readFile(path: string): Promise<Uint8Array> {
    const chunks: Buffer[] = [];
    for await (const chunk of await this.readFileStream(path)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  async readFileStream(path: string): Promise<Readable> {
    return await this.#running(() => this.#client.readFileStream(path));
  }

  async listFiles(path: string): Promise<readonly FileInfo[]> {
    return await this.#running(() => this.#client.json('GET', 'list', { query: { path } }));
  }

  async searchFiles(path: string, pattern: string): Promise<readonly FileInfo[]> {
    return await this.#running(() => this.#client.json('GET', 'search', { query: { path, pattern } }));
  }

  /** Network, file and command events on one stream, until the sandbox ends. */
  events({ after, signal }: EventOptions = {}): AsyncIterable<Event> {
    return this.#client.events(after, signal);
  }

  /** What its supervisor said on standard error: for an operator. */
  log(): string {
    try {
      return readFileSync(this.#core.store.pathsOf(this.id).log, 'utf8');
    } catch {
      return ''; // It was never started.
    }
  }

  async #running<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new ErrInvalidConfig('this handle is closed');
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ErrVMNotRunning)) throw error;
      const { state } = await this.#record();
      throw new ErrVMNotRunning(`${this.name} is ${state}, and must run for this`);
    }
  }

  async #record(): Promise<SandboxRecord> {
    const record = await this.#core.current(this.id);
    if (record === null) throw new ErrVMNotFound(`there is no sandbox ${this.name} any more`);
    return record;
  }

  /** Frees the handle, and ends the commands that it runs; the sandbox stays as it is. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export function infoOf(record: SandboxRecord, pid: number | null): SandboxInfo {
  const { id, name, backend, state, message, createdAt, startedAt, endedAt, limits, notes, config } = record;
  const { image } = config;
  return { id, name, image, backend, state, message, createdAt, startedAt, endedAt, pid, limits, notes };
}

/** After the machine has ended, its supervisor writes down what there is to write. */
const PATIENCE_MS = 60_000;
const FORCED_MS = 3_000;
const ANSWER_MS = 3_000;
