/** What is asked of the machine: processor time, memory, load (shell: /proc). */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';

/** The processor that what is measured runs on, and the one of its load and upstream; null: not to be pinned. */
export function placement(): { readonly measured: string | null; readonly others: string | null } {
  const cores = availableParallelism();
  if (cores < 2) return { measured: null, others: null };
  return { measured: '0', others: cores > 2 ? `1-${cores - 1}` : '1' };
}

/** `argv` bound to a processor. */
export function pinned(cpu: string | null, argv: readonly string[]): readonly string[] {
  return cpu === null ? argv : ['taskset', '-c', cpu, ...argv];
}

/**
 * Processor time of the processes so far, in microseconds, of all their threads: from the scheduler's own sums, which
 * are exact where `stat` counts in hundredths of a second. A process that is gone counts nothing.
 */
export function cpuTimeUs(pids: readonly number[]): number {
  let ns = 0;
  for (const pid of pids) {
    for (const thread of threadsOf(pid)) {
      try {
        ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0]);
      } catch {
        // It has ended.
      }
    }
  }
  return ns / 1000;
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended.
    return [];
  }
}

/** Resident memory of the processes, in MiB. */
export function residentMiB(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) {
    try {
      kib += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  }
  return kib / 1024;
}

/** `pid` and all that descend from it. */
export function familyOf(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(Number(name));
    if (fields !== null) parents.set(Number(name), Number(fields[1]));
  }
  const family = [pid];
  for (const member of family)
    for (const [child, parent] of parents) if (parent === member) family.push(child);
  return family;
}

function statOf(pid: number): readonly string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    // It has ended.
    return null;
  }
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly load: readonly number[];
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: execFileSync('uname', ['-sr'], { encoding: 'utf8' }).trim(),
    node: process.version,
    load: loadavg().map(value => Math.round(value * 100) / 100),
  };
}
