/**
 * What a policy script costs, beside plain rules and, for honesty, a callback in the gateway's own JavaScript: the same
 * decision about the same request of 1 KiB. Then a cold start, and the memory of a hundred sandboxes.
 *
 * Run: npm run build && npx tsc -p tsconfig.tools.json && node --expose-gc .cache/tools/bench/scripts.js
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseUrl } from '../src/core/authority.js';
import { systemClock } from '../src/core/clock.js';
import { compile } from '../src/policy/compile.js';
import { decide } from '../src/policy/decide.js';
import { documentFrom } from '../src/policy/document.js';
import type { RequestFacts } from '../src/policy/hooks.js';
import type { LoadedScript, SandboxScript } from '../src/script/sandbox-script.js';

const SOURCE = `export function onRequest({ method, host, headers }) {
  if (host !== 'api.example.com' || method !== 'GET') return { deny: 'no' };
  return headers['x-field-3'] ? { allow: true } : { deny: 'no field' };
}`;

const REQUEST: RequestFacts = {
  method: 'GET',
  scheme: 'https',
  host: 'api.example.com',
  port: 443,
  path: '/v1/things',
  query: 'page=1',
  headers: Array.from({ length: 15 }, (_, i): [string, string] => [`X-Field-${i}`, 'v'.repeat(48)]),
  bodyBytes: 0,
  body: null,
};

const CALLS = 20_000;
const WARM_UP = 5_000;
/** Requests that wait at a time where throughput is the question. */
const IN_FLIGHT = 64;
const SANDBOXES = 100;
const MIB = 1_048_576;

/** What ships: the thread of the build, in one file. */
const dist = (name: string): string => pathToFileURL(join(process.cwd(), 'dist', 'script', name)).href;
const { ScriptPool } = (await import(dist('pool.js'))) as typeof import('../src/script/pool.js');
const { SandboxScript: Sandbox } = (await import(
  dist('sandbox-script.js')
)) as typeof import('../src/script/sandbox-script.js');
const { loadScript } = (await import(dist('load.js'))) as typeof import('../src/script/load.js');
const { quickjsCode } = (await import(dist('thread.js'))) as typeof import('../src/script/thread.js');

type Pool = InstanceType<typeof ScriptPool>;
type Decide = () => Promise<unknown> | unknown;

interface Row {
  readonly what: string;
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
}

async function measure(what: string, call: Decide): Promise<Row> {
  const micros: number[] = [];
  for (let i = 0; i < WARM_UP + CALLS; i++) {
    const start = performance.now();
    await call();
    if (i >= WARM_UP) micros.push((performance.now() - start) * 1_000);
    if (i % 200 === 0) await delay(0);
  }
  micros.sort((a, b) => a - b);
  return {
    what,
    p50: micros[CALLS >> 1] ?? 0,
    p99: micros[Math.floor(CALLS * 0.99)] ?? 0,
    perSecond: await throughput(call),
  };
}

/** Calls a second with many in flight, by the processor time of this process: as on one core. */
async function throughput(call: Decide): Promise<number> {
  const cpu = process.cpuUsage();
  let left = CALLS;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  const { user, system } = process.cpuUsage(cpu);
  return CALLS / ((user + system) / 1e6);
}

function print({ what, p50, p99, perSecond }: Row): void {
  const cells = [
    p50.toFixed(1).padStart(8),
    p99.toFixed(1).padStart(8),
    Math.round(perSecond).toLocaleString('en').padStart(12),
  ];
  console.log(`| ${what.padEnd(44)} | ${cells.join(' | ')} |`);
}

function plainRules(): Decide {
  const document = documentFrom({ allow_domain: [{ domain: 'api.example.com', methods: ['GET'] }] }, 'bench');
  const policy = document.ok ? compile([document.value]) : document;
  const url = parseUrl('https://api.example.com/v1/things?page=1');
  if (!policy.ok || !url.ok) throw new Error('the bench has no policy');
  const { authority, path } = url.value;
  return () => decide(policy.value, { ask: 'request', authority, method: 'GET', path });
}

/** The same decision in the gateway's own realm: no boundary, no deadline, all rights. */
function hostCallback(): Decide {
  return async () => {
    const headers = new Map(REQUEST.headers.map(([name, value]) => [name.toLowerCase(), value]));
    if (REQUEST.host !== 'api.example.com' || REQUEST.method !== 'GET') return { deny: 'no' };
    return headers.has('x-field-3') ? { allow: true } : { deny: 'no field' };
  };
}

async function load(pool: Pool, folder: string): Promise<LoadedScript> {
  const path = join(folder, 'policy.js');
  writeFileSync(path, SOURCE);
  const loaded = await loadScript(path, { timeoutMs: 5_000, memoryMb: 16 }, pool);
  if (!loaded.ok) throw new Error(loaded.error);
  return loaded.value;
}

function sandboxOf(script: LoadedScript, pool: Pool): SandboxScript {
  return new Sandbox({ script, pool, clock: systemClock, onLog: () => undefined });
}

async function ask(sandbox: SandboxScript): Promise<void> {
  const answer = await sandbox.hooks.onRequest?.(REQUEST);
  if (answer?.kind !== 'allow') throw new Error(`the bench was denied: ${JSON.stringify(answer)}`);
}

/** Milliseconds from a new sandbox to its first answer, the median: with the spare thread ready, and without one. */
async function coldStart(script: LoadedScript, pool: Pool, spare: boolean): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 15; i++) {
    // Time enough for the spare to be there.
    if (spare) await delay(400);
    const own = spare ? null : new ScriptPool(await quickjsCode());
    const sandbox = sandboxOf(script, own ?? pool);
    const start = performance.now();
    await ask(sandbox);
    times.push(performance.now() - start);
    sandbox.close();
    await own?.close();
  }
  return times.sort((a, b) => a - b)[7] ?? 0;
}

async function memory(script: LoadedScript): Promise<{ readonly mib: number; readonly threads: number }> {
  globalThis.gc?.();
  await delay(500);
  const before = process.memoryUsage.rss();
  const pool = new ScriptPool(await quickjsCode());
  const sandboxes = Array.from({ length: SANDBOXES }, () => sandboxOf(script, pool));
  for (const sandbox of sandboxes) for (let i = 0; i < 20; i++) await ask(sandbox);
  const { threads } = pool;
  const mib = (process.memoryUsage.rss() - before) / MIB;
  await pool.close();
  return { mib, threads };
}

/** The 99th percentile of one sandbox's calls, in microseconds, alone and while another's script runs away. */
async function besideRunaway(pool: Pool, folder: string): Promise<readonly [alone: number, beside: number]> {
  const path = join(folder, 'runaway.js');
  writeFileSync(
    path,
    SOURCE.replace(
      '{ method, host, headers }) {',
      '{ method, host, headers, path }) { if (path === "/loop") for (;;);',
    ),
  );
  const loaded = await loadScript(path, { timeoutMs: 50, memoryMb: 16 }, pool);
  if (!loaded.ok) throw new Error(loaded.error);
  const [victim, runaway] = [
    sandboxOf({ ...loaded.value, limits: { timeoutMs: 5_000, memoryMb: 16 } }, pool),
    sandboxOf(loaded.value, pool),
  ];
  await ask(victim);
  const alone = (await measure('', () => ask(victim))).p99;
  let running = true;
  const loop = async (): Promise<void> => {
    // As often as it is let: five times in ten seconds.
    while (running) {
      await runaway.hooks.onRequest?.({ ...REQUEST, path: '/loop' });
      await delay(1);
    }
  };
  const looping = loop();
  const beside = (await measure('', () => ask(victim))).p99;
  running = false;
  await looping;
  victim.close();
  runaway.close();
  return [alone, beside];
}

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
const pool = new ScriptPool(await quickjsCode());
try {
  const script = await load(pool, folder);
  const { threads, mib } = await memory(script);
  const sandbox = sandboxOf(script, pool);
  console.log(`| ${'onRequest, 1 KiB'.padEnd(44)} |  p50 µs  |  p99 µs  | calls/s/core |`);
  console.log(`|${'-'.repeat(46)}|---------:|---------:|-------------:|`);
  print(await measure('plain rules', plainRules()));
  print(
    await measure('a hook that the script does not define', () =>
      sandbox.hooks.onTls?.({ sni: '', alpn: [] }),
    ),
  );
  print(await measure('host-JS callback (no isolation)', hostCallback()));
  print(await measure('script in QuickJS, in its thread', () => ask(sandbox)));
  console.log(
    `cold start: ${(await coldStart(script, pool, true)).toFixed(1)} ms with the spare thread, ${(
      await coldStart(script, pool, false)
    ).toFixed(1)} ms with a new one`,
  );
  const [alone, beside] = await besideRunaway(pool, folder);
  console.log(
    `p99 beside another sandbox's runaway script: ${beside.toFixed(0)} µs, alone ${alone.toFixed(0)} µs`,
  );
  console.log(`${SANDBOXES} sandboxes with a script each: ${mib.toFixed(0)} MiB in ${threads} threads`);
} finally {
  await pool.close();
  rmSync(folder, { recursive: true, force: true });
}
