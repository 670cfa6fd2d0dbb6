import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

interface Report {
  readonly codes: Readonly<Record<string, number>>;
  readonly before: number;
  readonly highest: number;
  readonly after: number;
  readonly threads: number;
}

/** Two engines at their limit, and the allocator's moods; a hundredth of what the scripts took together. */
const FEW_MIB = 32;

test('a thousand scripts in a row that exhaust their memory leave the process as large as it was', async () => {
  const bombs = join(__dirname, 'bombs.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', bombs, '1000']);
  const { codes, before, highest, after, threads } = JSON.parse(stdout) as Report;
  console.info(`resident: ${[before, highest, after].map(mib => mib.toFixed(0)).join(' -> ')} MiB`);
  expect(codes).toEqual({ 'script-memory': 1_000 });
  expect(after - before).toBeLessThan(FEW_MIB);
  // Never two at a time: what one took is given back before the next.
  expect(highest - before).toBeLessThan(2 * FEW_MIB);
  expect(threads).toBeLessThanOrEqual(3);
});
