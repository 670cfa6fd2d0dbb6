/**
 * How long a thread really ran (shell: reads what the kernel counts; Linux only). On a busy machine a deadline by the
 * wall clock would otherwise end scripts that were never given a processor.
 */
import { readFileSync, readlinkSync } from 'node:fs';

/** The calling thread, by the kernel's number; 0: not to be known. */
export function ownTask(): number {
  try {
    return Number(/\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1] ?? 0);
  } catch {
    // Not Linux, or no /proc: then the wall clock alone counts.
    return 0;
  }
}

/** Processor time of a thread of this process, in milliseconds; null: not to be known. */
export function taskRanMs(task: number): number | null {
  if (task === 0) return null;
  try {
    const [ran = ''] = readFileSync(`/proc/self/task/${task}/schedstat`, 'latin1').split(' ');
    return /^\d+$/.test(ran) ? Number(ran) / 1e6 : null;
  } catch {
    // It has ended, or the kernel does not count: then the wall clock alone counts.
    return null;
  }
}
