import { requestOf, Scripts } from './support.js';

const RUNS = 1_000;

/** What a machine's allocator keeps for itself, beside what is measured. */
const SPARE_MIB = 48;

const rssMib = (): number => process.memoryUsage.rss() / 1_048_576;

test('a thousand scripts in a row that each exhaust their memory leave the process as large as it was', async () => {
  const scripts = await Scripts.open();
  scripts.file(
    'policy.js',
    'export function onRequest() { const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1)); }',
  );
  const loaded = await scripts.load('policy.js', { timeoutMs: 5_000, memoryMb: 16 });
  if (!loaded.ok) throw new Error(loaded.error);
  const exhaust = async (): Promise<void> => {
    const sandbox = scripts.sandbox(loaded.value);
    const answer = await sandbox.hooks.onRequest?.(requestOf());
    sandbox.close();
    expect(answer).toMatchObject({ kind: 'deny', code: 'script-memory' });
  };
  for (let i = 0; i < 50; i++) await exhaust();
  const began = performance.now();
  const before = rssMib();
  for (let i = 0; i < RUNS; i++) await exhaust();
  const after = rssMib();
  console.log(`RSS before ${before.toFixed(0)} MiB, after ${after.toFixed(0)} MiB, ${((performance.now() - began) / RUNS).toFixed(0)} ms each`);
  expect(after - before).toBeLessThan(SPARE_MIB);
  await scripts.close();
}, 600_000);
