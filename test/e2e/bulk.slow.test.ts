/** 2 GiB each way: more than a buffer, a 32-bit signed length and the gateway's memory hold. */
import { bulkHandler, bulkRuns, measure } from './bulk.js';
import { Stage } from './stage.js';

const BULK = 'bulk.example.test';
const BYTES = 2 ** 31 + 12_345;
const stage = new Stage();

beforeAll(() => stage.https(BULK, bulkHandler));
afterAll(() => stage.close());

for (const { script, line } of bulkRuns(BULK, BYTES)) {
  const what = script.includes('sha256sum') ? 'down' : 'up';
  test(`2 GiB ${what}, ${/chunked|-T - https/.test(script) && !script.includes('Content-Length') ? 'chunked' : 'with a length'}, leave the memory flat`, async () => {
    const started = performance.now();
    const { lines, growthMiB } = await measure(stage, [script]);
    const mibPerSecond = BYTES / 2 ** 20 / ((performance.now() - started) / 1000);
    process.stdout.write(`  ${mibPerSecond.toFixed(0)} MiB/s, peak grew by ${growthMiB.toFixed(0)} MiB\n`);
    expect(lines).toContain(line);
    expect(growthMiB).toBeLessThan(300);
  }, 600_000);
}
