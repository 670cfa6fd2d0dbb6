/**
 * The threads of all sandboxes' scripts: one for each sandbox as long as there are few, shared by some when there are
 * many, because a thread weighs seven megabytes and an engine one. Engines are never shared. One idle thread is kept
 * ready, so that nobody waits for a start.
 */
import type { CellId } from './protocol.js';
import { ScriptThread } from './thread.js';

/** Beyond so many sandboxes with a script, threads are shared. */
export const MAX_THREADS = 16;

/** A thread that was just left may be the next one's: what comes and goes starts none. */
const MOST_IDLE = 2;

export class ScriptPool {
  readonly #wasm: WebAssembly.Module;
  readonly #most: number;
  readonly #threads = new Set<ScriptThread>();
  #cells = 0;
  #closed = false;

  constructor(wasm: WebAssembly.Module, most: number = MAX_THREADS) {
    this.#wasm = wasm;
    this.#most = most;
    this.#keepSpare();
  }

  get threads(): number {
    return this.#threads.size;
  }

  newCell(): CellId {
    this.#cells += 1;
    return this.#cells;
  }

  /** The thread that `cell` is to live in: an idle one, else the one with the fewest. */
  take(cell: CellId): ScriptThread {
    let best: ScriptThread | null = null;
    for (const thread of this.#threads) {
      if (best === null || thread.cells.size < best.cells.size) best = thread;
    }
    const thread = best ?? this.#start();
    thread.cells.add(cell);
    this.#keepSpare();
    return thread;
  }

  /** The cell lives in `thread` no more. Idle threads beyond a few are ended. */
  leave(thread: ScriptThread, cell: CellId): void {
    thread.cells.delete(cell);
    if (thread.cells.size > 0 || !thread.alive) return;
    const idle = [...this.#threads].filter(({ cells }) => cells.size === 0);
    if (idle.length > MOST_IDLE) void thread.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#threads].map(thread => thread.close()));
  }

  #start(): ScriptThread {
    const thread = new ScriptThread(this.#wasm, ended => {
      this.#threads.delete(ended);
      this.#keepSpare();
    });
    this.#threads.add(thread);
    return thread;
  }

  #keepSpare(): void {
    if (this.#closed || this.#threads.size >= this.#most) return;
    for (const { cells } of this.#threads) if (cells.size === 0) return;
    this.#start();
  }
}
