/**
 * What more sandboxes cost when a hundred connections are those of 1, 10 and 100 sandboxes, in turn, with everything on:
 * requests a second and processor time over TLS, as users see it; processor time of the corridor alone, where it is seen
 * best; and, where namespaces can be made, the memory of an idle sandbox, in the gateway and in its warden.
 *
 *     npx tsc -p tsconfig.tools.json && node --expose-gc .cache/tools/bench/growth.js [ROUNDS] [IDLE] [SECONDS]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Rate, ratesOf } from './growth-rates.js';
import { familyOf, residentMiB } from './machine.js';
import { type Corridor, openCorridor } from './memory-corridor.js';

const SIZES = [1, 10, 100] as const;
/** So many in every case: what another connection costs is not what another sandbox costs. */
const CONNECTIONS = 100;
/** Requests of one window on each connection. */
const WINDOW = 5;

/**
 * Microseconds of this process a request, over one window. All connections ask at once: one sandbox that took turns with
 * itself would need one upstream connection, and a hundred sandboxes, which share none, a hundred.
 */
async function windowOf({ requests }: Corridor): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < WINDOW; i++) await Promise.all(requests.map(request => request()));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / WINDOW / requests.length;
}

function leastTenth(all: readonly number[]): number {
  return [...all].sort((a, b) => a - b)[Math.floor(all.length / 10)] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Over TLS; five rounds, which take turns. */
async function tellRates(seconds: number, folder: string): Promise<void> {
  const rates = await ratesOf(SIZES, CONNECTIONS, 5, seconds, folder);
  const of = (value: (rate: Rate) => number): number[] => rates.map(round => median(round.map(value)));
  const [perSecond, cpuUs] = [of(rate => rate.perSecond), of(rate => rate.cpuUs)];
  for (const [at, size] of SIZES.entries()) {
    const [rate = Number.NaN, alone = Number.NaN] = [perSecond[at], perSecond[0]];
    console.log(
      `${size} sandboxes, over TLS: ${rate.toFixed(0)} requests/s, ${(rate / alone).toFixed(2)} of one's; ` +
        `${cpuUs[at]?.toFixed(1)} CPU µs a request, ${((cpuUs[at] ?? 0) / (cpuUs[0] ?? 0)).toFixed(2)}`,
    );
  }
}

async function requestsOf(rounds: number, folder: string): Promise<void> {
  const corridors = await Promise.all(SIZES.map(size => openCorridor(true, folder, size, CONNECTIONS)));
  const costs = SIZES.map((): number[] => []);
  // In turn, so that what else the machine does is the same for all.
  for (let round = 0; round < rounds; round++) {
    for (const [at, corridor] of corridors.entries()) costs[at]?.push(await windowOf(corridor));
  }
  const [alone = Number.NaN] = costs.map(leastTenth);
  for (const [at, size] of SIZES.entries()) {
    const cost = leastTenth(costs[at] ?? []);
    console.log(
      `${size} sandboxes, corridor alone: ${cost.toFixed(1)} CPU µs a request, ${(cost / alone).toFixed(2)} of one's`,
    );
  }
  for (const { gateway } of corridors) await gateway.close();
}

async function settledMiB(): Promise<number> {
  await delay(500);
  globalThis.gc?.();
  return residentMiB([process.pid]);
}

async function memoryOf(idle: number, folder: string): Promise<void> {
  const { gateway } = await openCorridor(true, folder);
  // The first brings code and caches that the others share.
  await gateway.openSandbox('first');
  const before = await settledMiB();
  const known = new Set(familyOf(process.pid));
  for (let number = 0; number < idle; number++) await gateway.openSandbox(`idle${number}`);
  const own = ((await settledMiB()) - before) / idle;
  const others = familyOf(process.pid).filter(pid => !known.has(pid));
  const wardens = residentMiB(others) / idle;
  console.log(
    `${idle} idle sandboxes: ${own.toFixed(2)} MiB each in the gateway, ${wardens.toFixed(2)} MiB in a warden`,
  );
  await gateway.close();
}

const [rounds = 60, idle = 50, seconds = 2] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'sallyport-growth-'));
try {
  await requestsOf(rounds, folder);
  if (idle > 0) await memoryOf(idle, folder);
  // Last: it binds this process to the load's processor.
  if (seconds > 0) await tellRates(seconds, folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
