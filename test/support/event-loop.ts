/**
 * For how long the event loop was busy with one thing. On a shared machine a timer is late mostly because the processor
 * was given to somebody else, so that the kernel is asked how long the loop's thread really ran (`/proc/self/schedstat`
 * counts its run time); the clock on the wall is told beside it.
 */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface LoopReport {
  /** Longest run between two ticks of a 5 ms timer, in milliseconds of processor time. */
  readonly longestMs: number;
  /** The fifth longest: the collector has its day once or twice, and what blocks a loop does it again. */
  readonly fifthMs: number;
  /** Longest delay of the loop by the clock on the wall, waits for a processor included. */
  readonly wallMs: number;
  /** The 99th percentile of that. */
  readonly p99Ms: number;
}

const TICK_MS = 5;

/** Watches until the result is called. */
export function watchEventLoop(): () => LoopReport {
  const histogram = monitorEventLoopDelay({ resolution: TICK_MS });
  histogram.enable();
  let longest = [0, 0, 0, 0, 0];
  let last = ranMs();
  const timer = setInterval(() => {
    const now = ranMs();
    longest = [...longest, now - last].sort((a, b) => b - a).slice(0, 5);
    last = now;
  }, TICK_MS);
  return () => {
    clearInterval(timer);
    histogram.disable();
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - TICK_MS);
    const [longestMs = 0] = longest;
    return {
      longestMs,
      fifthMs: longest[4] ?? 0,
      wallMs: late(histogram.max),
      p99Ms: late(histogram.percentile(99)),
    };
  };
}

/** Processor time of the main thread so far. */
function ranMs(): number {
  const [ran = '0'] = readFileSync('/proc/self/schedstat', 'utf8').split(' ');
  return Number(ran) / 1e6;
}
