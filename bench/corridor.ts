/**
 * What one kept-alive request costs in the corridor's own code: the whole gateway in this process, with memory in
 * place of sockets and no TLS, so that neither the kernel nor OpenSSL is measured. Prints processor time a request,
 * the least tenth of many windows, with everything on and with everything off, in turn.
 *
 *     npx tsc -p tsconfig.tools.json && node .cache/tools/bench/corridor.js [WINDOWS] [all|off]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Corridor, openCorridor } from './memory-corridor.js';

const WINDOW = 500;

/** Microseconds of this process a request, over one window. */
async function windowOf(corridor: Corridor): Promise<number> {
  const before = process.cpuUsage();
  const [request = async () => undefined] = corridor.requests;
  for (let i = 0; i < WINDOW; i++) await request();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / WINDOW;
}

/** What the same loop costs with nobody in between. */
async function emptyWindow(): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < WINDOW; i++) {
    await new Promise<void>(resolve => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / WINDOW;
}

const [windows = '120', only = ''] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'sallyport-corridor-'));
const names = ['all', 'off'].filter(name => only === '' || only === name);
const corridors = await Promise.all(names.map(name => openCorridor(name === 'all', folder)));
const costs: number[][] = names.map(() => []);
const empty: number[] = [];
for (let round = 0; round < Number(windows); round++) {
  empty.push(await emptyWindow());
  for (const [at, corridor] of corridors.entries()) costs[at]?.push(await windowOf(corridor));
}
const least = (all: readonly number[]): number =>
  [...all].sort((a, b) => a - b)[Math.floor(all.length / 10)] ?? Number.NaN;
for (const [at, name] of names.entries()) {
  console.log(`${name}: ${(least(costs[at] ?? []) - least(empty)).toFixed(1)} CPU µs a request`);
}
for (const { gateway } of corridors) await gateway.close();
rmSync(folder, { recursive: true, force: true });
