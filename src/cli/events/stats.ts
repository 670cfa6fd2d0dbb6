/** `sallyport events stats LOG`: who talked to whom, what was refused, and how long it took. */
import { StatsCounter } from '../../events/report/stats.js';
import { statsText } from '../../events/report/stats-text.js';
import { EXIT_USAGE, type Io } from '../io.js';
import { readLog } from './log.js';
import { standardOutput } from './paper.js';

const PLAIN_WIDTH = 100;
const ROWS = 20;

/** Exit code 0; 2: the log cannot be read; 3: some lines hold no event; 130: interrupted. */
export async function runStats(path: string, { json }: { readonly json: boolean }, io: Io): Promise<number> {
  const counter = new StatsCounter();
  const code = await readLog(path, {}, io, events => events.forEach(event => void counter.add(event)));
  if (code === EXIT_USAGE) return code;
  const { colour, width, write } = standardOutput();
  const stats = counter.result();
  const bar = width === null ? '#' : '█';
  await write(
    json
      ? `${JSON.stringify(stats)}\n`
      : statsText(stats, { colour, width: width ?? PLAIN_WIDTH, bar, most: ROWS }),
  );
  return code;
}
