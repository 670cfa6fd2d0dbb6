/**
 * A thousand scripts in a row, each of a sandbox of its own, that take all the memory they can get: `node --expose-gc
 * bombs.mjs [COUNT]`. Prints how they ended and the process's resident memory, in MiB, before and after.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadScript } from '../../dist/script/load.js';
import { ScriptPool } from '../../dist/script/pool.js';
import { SandboxScript } from '../../dist/script/sandbox-script.js';
import { quickjsCode } from '../../dist/script/thread.js';

const BOMBS = [
  'const a = []; for (;;) a.push(new Uint8Array(1e6));',
  "const a = []; for (;;) a.push('x'.repeat(1e6) + a.length);",
  'const a = []; for (;;) a.push(new Array(1e5).fill(1));',
  'const a = []; for (let i = 0; ; i++) a.push({ i });',
  "'x'.repeat(2 ** 28);",
  'state.a = []; for (;;) state.a.push(new ArrayBuffer(1 << 20));',
  'const m = new Map(); for (let i = 0; ; i++) m.set(i, new Array(1000).fill(i));',
  "const a = []; for (let s = 'x'.repeat(1e5); ; s += 'y') a.push(s + a.length);",
];
const REQUEST = {
  ...{ method: 'GET', scheme: 'https', host: 'api.test', port: 443, path: '/', query: '' },
  ...{ headers: [], bodyBytes: 0, body: null },
};
const count = Number(process.argv[2] ?? 1_000);
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bombs-'));
const pool = new ScriptPool(await quickjsCode());
const limits = { timeoutMs: 10_000, memoryMb: 16 };
const loaded = [];
for (const [i, code] of BOMBS.entries()) {
  const path = join(folder, `bomb-${i}.js`);
  writeFileSync(path, `export function onRequest() { ${code} return { allow: true }; }`, { mode: 0o600 });
  const script = await loadScript(path, limits, pool);
  if (!script.ok) throw new Error(script.error);
  loaded.push(script.value);
}

const codes = new Map();
async function explode(i) {
  const sandbox = new SandboxScript({
    script: loaded[i % loaded.length],
    pool,
    clock,
    onLog: () => undefined,
  });
  const answer = await sandbox.hooks.onRequest(REQUEST);
  const code = answer.kind === 'deny' ? answer.code : answer.kind;
  codes.set(code, (codes.get(code) ?? 0) + 1);
  sandbox.close();
}

async function residentMib() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    await delay(100);
  }
  return process.memoryUsage.rss() / 2 ** 20;
}

// Each kind twice before the first look: what is compiled and cached once is no loss.
for (let i = 0; i < 2 * BOMBS.length; i++) await explode(i);
codes.clear();
const before = await residentMib();
let highest = before;
for (let i = 0; i < count; i++) {
  await explode(i);
  if (i % 50 === 49) highest = Math.max(highest, process.memoryUsage.rss() / 2 ** 20);
}
const after = await residentMib();
const { threads } = pool;
await pool.close();
rmSync(folder, { recursive: true, force: true });
process.stdout.write(
  `${JSON.stringify({ codes: Object.fromEntries(codes), before, highest, after, threads })}\n`,
);
