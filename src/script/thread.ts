/**
 * One thread of scripts, seen from outside (shell: a worker thread and a timer). Messages are answered in order; the
 * first in the line has a deadline by the wall clock, and a thread that misses it is ended: nothing less stops every
 * loop. Whoever waited in the line learns that it was not asked.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { errorCode } from '../core/errors.js';
import type { ScriptFault } from '../policy/hooks.js';
import { packageRoot } from '../policy/load.js';
import { type CellId, type Message, type Reply, SHARED, type ThreadData } from './protocol.js';
import { taskRanMs } from './task-time.js';

/** How a message ended that got no reply. */
export interface Lost {
  readonly kind: 'lost';
  readonly fault: ScriptFault;
  readonly message: string;
  /** The cell whose message ended the thread; null: none of them did. */
  readonly culprit: CellId | null;
}

interface Waiting {
  readonly cell: CellId;
  readonly deadlineMs: number;
  readonly settle: (reply: Reply | Lost) => void;
}

/** A reply that is on its way to us is waited for this long beyond the deadline, at most this often. */
const ON_ITS_WAY_MS = 5;

/** A thread that the machine starved may run this many deadlines longer. */
const MOST_PATIENCE = 3;

/** To be woken costs more than a call: for as long as most calls take, we look instead of sleeping. */
const AWAKE_MS = 0.1;

/** A machine under load takes its time to start a thread; no script runs meanwhile. */
const BOOT_MS = 20_000;

export class ScriptThread {
  readonly #worker: Worker;
  readonly #shared = new Int32Array(new SharedArrayBuffer(12));
  readonly #line: Waiting[] = [];
  readonly #onEnd: (thread: ScriptThread) => void;
  #first = 0;
  #received = 0;
  #headSince = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerDue = 0;
  #mark: { readonly at: number; readonly ranMs: number | null } = { at: 0, ranMs: null };
  #awake = false;
  #awakeUntil = 0;
  #ended: Promise<unknown> | null = null;
  /** Cells that are open in it. */
  readonly cells = new Set<CellId>();

  constructor(wasm: WebAssembly.Module, onEnd: (thread: ScriptThread) => void) {
    const data: ThreadData = { wasm, shared: this.#shared.buffer as SharedArrayBuffer };
    this.#worker = new Worker(workerFile(), {
      workerData: data,
      // Nothing of the gateway's surroundings is theirs to have: no environment, no flags, no standard streams.
      env: {},
      argv: [],
      execArgv: [],
      stdin: false,
      stdout: true,
      stderr: true,
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64, codeRangeSizeMb: 4 },
    });
    this.#worker.unref();
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    this.#worker.on('error', error => this.#end(crashOf(error)));
    this.#worker.on('exit', () => this.#end(EXITED));
    this.#onEnd = onEnd;
    // Its reply says that the thread runs: whatever stands behind it in the line has its own time.
    void this.send({ kind: 'close', cell: NO_CELL }, BOOT_MS);
  }

  get alive(): boolean {
    return this.#ended === null;
  }

  /** Messages that wait for their reply. */
  get waiting(): number {
    return this.#line.length - this.#first;
  }

  /** Never rejects. The deadline runs from when it is the first in the line. */
  send(message: Message, deadlineMs: number): Promise<Reply | Lost> {
    return new Promise(settle => {
      if (this.#ended !== null) return settle({ ...EXITED, culprit: null });
      if (this.waiting === 0) this.#headSince = performance.now();
      this.#line.push({ cell: message.cell, deadlineMs, settle });
      Atomics.add(this.#shared, SHARED.asked, 1);
      this.#worker.postMessage(message);
      if (this.waiting === 1) this.#watch(deadlineMs);
      this.#stayAwake();
    });
  }

  /** Keeps the event loop from going to sleep while a reply is due soon. It turns meanwhile, and does what else there is. */
  #stayAwake(): void {
    this.#awakeUntil = performance.now() + AWAKE_MS;
    if (this.#awake) return;
    this.#awake = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#awake = this.waiting > 0 && performance.now() < this.#awakeUntil;
    if (this.#awake) setImmediate(this.#turn);
  };

  /** Ends the thread; what waits is lost. Resolves when it is gone. */
  async close(): Promise<void> {
    this.#end({ fault: 'script-error', message: 'the script was ended' }, null);
    await this.#ended;
  }

  #receive(reply: Reply): void {
    if (this.#ended !== null) return;
    this.#received += 1;
    const head = this.#line[this.#first];
    this.#first += 1;
    if (this.#first === this.#line.length) {
      this.#line.length = 0;
      this.#first = 0;
    } else {
      this.#headSince = performance.now();
      this.#watch(this.#line[this.#first]?.deadlineMs ?? 0);
      if (this.#first > COMPACT_AT) {
        this.#line.splice(0, this.#first);
        this.#first = 0;
      }
    }
    head?.settle(reply);
  }

  /** Sees to it that somebody looks at the first in the line when its time is up. */
  #watch(deadlineMs: number): void {
    const due = this.#headSince + deadlineMs;
    if (this.#timer !== null && this.#timerDue <= due) return;
    clearTimeout(this.#timer ?? undefined);
    this.#lookIn(deadlineMs);
  }

  #lookIn(ms: number): void {
    const now = performance.now();
    this.#mark = { at: now, ranMs: taskRanMs(Atomics.load(this.#shared, SHARED.task)) };
    this.#timerDue = now + ms;
    this.#timer = setTimeout(this.#look, ms);
  }

  /** One timer for all: it looks at whoever is first when it fires, so that a call costs no timer of its own. */
  readonly #look = (): void => {
    this.#timer = null;
    const head = this.#line[this.#first];
    if (head === undefined || this.#ended !== null) return;
    const restMs = this.#headSince + head.deadlineMs - performance.now();
    if (restMs > 0) this.#lookIn(restMs);
    // The thread is done with it, and it is we who are late.
    else if (this.#received !== Atomics.load(this.#shared, SHARED.answered)) this.#lookIn(ON_ITS_WAY_MS);
    else if (-restMs < head.deadlineMs * MOST_PATIENCE && this.#starved()) this.#lookIn(head.deadlineMs / 2);
    else
      this.#end({ fault: 'script-timeout', message: `ran longer than ${head.deadlineMs} ms and was ended` });
  };

  /** Whether the machine let it run for less than half of the time since we last looked. */
  #starved(): boolean {
    const { at, ranMs } = this.#mark;
    const nowMs = taskRanMs(Atomics.load(this.#shared, SHARED.task));
    return ranMs !== null && nowMs !== null && nowMs - ranMs < (performance.now() - at) / 2;
  }

  #end(
    why: Pick<Lost, 'fault' | 'message'>,
    culprit: CellId | null = this.#line[this.#first]?.cell ?? null,
  ): void {
    if (this.#ended !== null) return;
    clearTimeout(this.#timer ?? undefined);
    this.#ended = this.#worker.terminate();
    const waiting = this.#line.splice(0).slice(this.#first);
    this.#onEnd(this);
    for (const { settle } of waiting) settle({ kind: 'lost', ...why, culprit });
  }
}

/** Answered entries that are left in the line before it is made short again. */
const COMPACT_AT = 1_024;

const NO_CELL: CellId = 0;

const EXITED = {
  kind: 'lost',
  fault: 'script-error',
  message: 'the thread of the script has ended',
} as const;

function crashOf(error: unknown): Pick<Lost, 'fault' | 'message'> {
  const code = errorCode(error);
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { fault: 'script-memory', message: 'the thread of the script ran out of memory' };
  }
  const what = error instanceof Error ? error.message : String(error);
  return { fault: 'script-error', message: `the thread of the script failed (${what})` };
}

/** The compiled worker: beside this file, or in `dist` for a caller that runs from the sources or the bundle. */
function workerFile(): string {
  const beside = join(dirname(fileURLToPath(import.meta.url)), 'worker.js');
  return existsSync(beside) ? beside : join(packageRoot(), 'dist', 'script', 'worker.js');
}

let compiled: Promise<WebAssembly.Module> | null = null;

/** QuickJS, compiled once for all threads of the process. */
export function quickjsCode(): Promise<WebAssembly.Module> {
  compiled ??= readFile(
    createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm'),
  ).then(bytes => WebAssembly.compile(bytes));
  return compiled;
}
