/** How far a download is: one line that is written over on a terminal, one line for each finished part elsewhere. */
import type { PullProgress } from '../vm/images/index.js';

export interface Progress {
  step(progress: PullProgress): void;
  end(): void;
}

export function pullProgress(write: (text: string) => void, isTerminal: boolean): Progress {
  const parts = new Map<string, PullProgress>();
  const told = new Set<string>();
  let last = -1;
  const onTerminal = (): void => {
    const all = [...parts.values()];
    const done = all.reduce((sum, { doneBytes }) => sum + doneBytes, 0);
    const total = all.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
    const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
    if (percent === last) return;
    last = percent;
    write(`\r${all.length} parts, ${(total / 1024 ** 2).toFixed(1)} MiB: ${percent} %\x1b[K`);
  };
  return {
    step: progress => {
      parts.set(progress.digest, progress);
      if (isTerminal) return onTerminal();
      if (progress.doneBytes < progress.totalBytes || told.has(progress.digest)) return;
      told.add(progress.digest);
      write(`${progress.digest.slice(7, 19)}: ${progress.totalBytes} bytes\n`);
    },
    end: () => {
      if (isTerminal && parts.size > 0) write('\n');
    },
  };
}
