/** How many file descriptors this process may have open (shell: it reads `/proc`). */
import { readFileSync } from 'node:fs';

/** What every system allows. */
const LEAST = 1_024;
const MOST = 1 << 20;

/** The soft limit, which Node raises to the hard one when it starts. */
export function maxDescriptors(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(limits) ?? [];
    return soft === 'unlimited' ? MOST : Math.min(MOST, Number(soft ?? LEAST));
  } catch {
    return LEAST; // No such file: not Linux.
  }
}
