/** How the engine collects garbage (shell: its flags). */
import { PerformanceObserver, performance } from 'node:perf_hooks';
import v8 from 'node:v8';

/** Collections a second from which on the young generation is too small for what is done with it. */
const BUSY_PER_SECOND = 300;
const WINDOW_MS = 1_000;
/** It grows by this, once. Eight times what the engine begins with is where more brings nothing (docs/decisions/0061). */
const GROWTH = 8;
const LOOK_MS = 50;
const LOOK_AGAIN_MS = 1_000;

/**
 * Keeps the pauses short that stop all sandboxes at once. For processes that are ours alone: the engine has one set of such
 * flags for everything in a process.
 *
 * The young generation stays as small as it begins until it is collected often: let grow as the engine would, it takes 20
 * MiB more of a gateway with a thousand connections that do nothing. One thread collects it: what survives is a tenth of a
 * MiB and takes less than others take to wake, and where a sandbox keeps the processors busy, a thread that was woken and
 * not run was waited for, ten milliseconds and more.
 */
export function boundPauses(): void {
  v8.setFlagsFromString('--no-parallel-scavenge');
  allowGrowth(1);
  watch();
}

/** Until it is collected too often: then it may grow. */
function watch(): void {
  let collections = 0;
  let since = performance.now();
  const observer = new PerformanceObserver(list => {
    collections += list.getEntries().length;
    const passed = performance.now() - since;
    if (passed < WINDOW_MS) return;
    const perSecond = (collections / passed) * 1_000;
    collections = 0;
    since += passed;
    if (perSecond < BUSY_PER_SECOND) return;
    observer.disconnect();
    growOnce();
  });
  observer.observe({ entryTypes: ['gc'] });
}

function growOnce(): void {
  const before = youngBytes();
  allowGrowth(GROWTH);
  every(LOOK_MS, () => {
    if (youngBytes() <= before) return false;
    allowGrowth(1);
    watchForShrinking(youngBytes());
    return true;
  });
}

/** The engine makes it small again where little is left to do. */
function watchForShrinking(grown: number): void {
  every(LOOK_AGAIN_MS, () => {
    if (youngBytes() >= grown) return false;
    watch();
    return true;
  });
}

/** Runs `isOver` again and again until it is true. */
function every(ms: number, isOver: () => boolean): void {
  const timer = setInterval(() => {
    if (isOver()) clearInterval(timer);
  }, ms).unref();
}

function allowGrowth(factor: number): void {
  v8.setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}

function youngBytes(): number {
  return v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}
