/**
 * How the engine collects garbage, gives memory back and uses its threads (shell: its flags, its threads' priority). For
 * processes that are ours alone: the engine has one set of flags for everything in a process, and the allocator one set
 * of thresholds.
 *
 * Measured, and why: docs/decisions/0061 and 0065.
 */
import { readdirSync } from 'node:fs';
import os from 'node:os';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import v8 from 'node:v8';

/** When the young generation is too small for what is done with it. */
interface Busy {
  readonly windowMs: number;
  /** So many windows of OFTEN in a row, or one of VERY_OFTEN. */
  readonly windows: number;
}

/** Collections a second: more than clients make that only connect, unless a thousand do at once, for two seconds. */
const OFTEN = 100;
/** More than those. A slow machine never gets there. */
const VERY_OFTEN = 280;
const BUSY: Busy = { windowMs: 1_000, windows: 4 };
/** A gateway that was busy will be again, in bursts that whole seconds would be most of. */
const BUSY_AGAIN: Busy = { windowMs: 100, windows: 1 };
/** It grows by this, once. Eight times what the engine begins with is where more brings nothing. */
const GROWTH = 8;
const LOOK_MS = 20;
/**
 * To be told of a collection takes a tenth of a millisecond, right behind it. Where for so long fewer came than half of
 * OFTEN, nobody is told for RESTS times as long, and bulk is looked for by the clock.
 */
const SAMPLE_MS = 100;
const RESTS = 5;
/** Bytes of buffers that are in use or not collected yet: more than requests and their answers need. */
const BULK_BYTES = 8 << 20;
/** So long after the last of it bulk is over. */
const CALM_MS = 2_000;
/** What lives after a full collection may grow by so much until the next one, in percent: as much as the engine ever allows. */
const BULK_GROWTH_PERCENT = 300;
/** The largest size that the allocator takes as a hint (mallopt(3), M_MMAP_THRESHOLD). */
const HINT_BYTES = 31 << 20;
/**
 * Added to the niceness of the engine's threads: a tenth of a share beside the main one, so that they rarely take its core
 * from it. With the most that there is, and a sandbox that keeps all cores busy, the main one waits for them 50 ms and more.
 */
const HELPER_NICENESS = 10;

/**
 * Keeps the pauses short that stop all sandboxes at once, and memory small that nobody needs.
 *
 * One thread collects the young generation: what survives is a tenth of a MiB and takes less than others take to wake, and
 * where a sandbox keeps the processors busy, a thread that was woken and not run was waited for, ten milliseconds and more.
 */
export function boundPauses(): void {
  v8.setFlagsFromString('--no-parallel-scavenge');
  new Collector().watch();
  letHelpersYield();
}

/** Threads that compile and mark beside the main one: woken on its core, each stops all sandboxes for its slice. */
function letHelpersYield(): void {
  if (process.platform !== 'linux') return;
  const priority = Math.min(os.constants.priority.PRIORITY_LOW, os.getPriority() + HELPER_NICENESS);
  for (const thread of readdirSync('/proc/self/task').map(Number)) {
    if (thread === process.pid) continue;
    try {
      os.setPriority(thread, priority);
    } catch {
      // It has ended, or the kernel does not let it: it stays as it is.
    }
  }
}

/** Told of collections, of a part of them while they are few, it costs nothing where none is made. */
class Collector {
  readonly #observer = new PerformanceObserver(list => this.#collected(list.getEntries().length));
  /** Of the young generation, when it was held there; it is as small as it begins until it is collected often. */
  #heldAt = youngBytes();
  #state: 'small' | 'growing' | 'grown' = 'small';
  #busy = BUSY;
  #collections = 0;
  /** Windows in a row. */
  #often = 0;
  #since = performance.now();
  #lookedAt = this.#since;
  #sampledFrom = this.#since;
  #sampled = 0;
  #hasHinted = false;
  #bulkAt = Number.NEGATIVE_INFINITY;
  #inBulk = false;

  watch(): void {
    allowGrowth(1);
    this.#observe();
  }

  #observe(): void {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  #collected(times: number): void {
    const now = performance.now();
    this.#collections += times;
    this.#sampled += times;
    if (now - this.#lookedAt < LOOK_MS) return;
    // The first after a pause: those behind it are not few because none was before.
    if (now - this.#lookedAt > SAMPLE_MS) this.#sample(now);
    this.#lookedAt = now;
    this.#lookForBulk(now);
    this.#settle();
    this.#judge(now);
    this.#restWhereFew(now);
  }

  #sample(now: number): void {
    this.#sampledFrom = now;
    this.#sampled = 0;
  }

  #restWhereFew(now: number): void {
    const sampledMs = now - this.#sampledFrom;
    if (sampledMs < SAMPLE_MS) return;
    const isFew = (this.#sampled / sampledMs) * 1_000 < OFTEN / 2;
    this.#sample(now);
    if (isFew && this.#state !== 'growing') this.#rest();
  }

  #rest(): void {
    this.#observer.disconnect();
    let left = RESTS;
    const clock = setInterval(() => {
      const now = performance.now();
      this.#lookForBulk(now);
      if (--left > 0) return;
      clearInterval(clock);
      this.#collections = 0;
      this.#since = now;
      this.#lookedAt = now;
      this.#sample(now);
      this.#observe();
    }, SAMPLE_MS);
    clock.unref();
  }

  #judge(now: number): void {
    const { windowMs, windows } = this.#busy;
    if (now - this.#since < windowMs) return;
    const rate = (this.#collections / (now - this.#since)) * 1_000;
    this.#collections = 0;
    this.#since = now;
    this.#often = rate < OFTEN ? 0 : this.#often + 1;
    if (this.#state !== 'grown') this.#letGrow(rate >= VERY_OFTEN || this.#often >= windows);
  }

  /** Let grow as the engine would, it takes 20 MiB more of a gateway with a thousand connections that do nothing. */
  #letGrow(isBusy: boolean): void {
    this.#state = isBusy ? 'growing' : 'small';
    this.#heldAt = youngBytes();
    allowGrowth(isBusy ? GROWTH : 1);
  }

  /** Holds it where it has grown to; the engine makes it small again where little is left to do. */
  #settle(): void {
    if (this.#state === 'small') return;
    const bytes = youngBytes();
    if (this.#state === 'growing' && bytes > this.#heldAt) {
      this.#state = 'grown';
      this.#busy = BUSY_AGAIN;
      this.#heldAt = bytes;
      allowGrowth(1);
    } else if (this.#state === 'grown' && bytes < this.#heldAt) this.#state = 'small';
  }

  /**
   * Buffers count as if they lived as long as the heap: where it may grow by little, a few tens of MiB of them have the
   * engine mark all of it again and again, which takes it half of the core that relays them.
   */
  #lookForBulk(now: number): void {
    const isBulk = bufferBytes() > BULK_BYTES;
    if (isBulk) {
      this.#bulkAt = now;
      this.#hint();
    }
    const inBulk = isBulk || now - this.#bulkAt < CALM_MS;
    if (inBulk === this.#inBulk) return;
    this.#inBulk = inBulk;
    v8.setFlagsFromString(`--heap-growing-percent=${inBulk ? BULK_GROWTH_PERCENT : 0}`);
  }

  /**
   * Buffers come and go in tens of MiB, and what glibc gives back to the kernel each time comes again as pages to be
   * cleared, at the price of the relaying itself. A block that large, once freed, tells it to keep as much.
   */
  #hint(): void {
    if (this.#hasHinted) return;
    this.#hasHinted = true;
    Buffer.allocUnsafeSlow(HINT_BYTES);
  }
}

function allowGrowth(factor: number): void {
  v8.setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}

function youngBytes(): number {
  return v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}

function bufferBytes(): number {
  return process.memoryUsage().arrayBuffers;
}
