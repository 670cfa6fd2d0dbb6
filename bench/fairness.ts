/**
 * What one sandbox under attack costs another: the victim's p99 without and with each attack, in windows that take
 * turns, and the same attack on a gateway that the victim does not use, which is what the machine's cores alone cost it.
 *
 *     npx tsc -p tsconfig.tools.json && node .cache/tools/bench/fairness.js [ROUNDS] [ATTACK…]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Arena, ATTACKS, percentile, startArena, startOrigins, Victim } from '../test/hostile/stage.js';
import { makeTestCa } from '../test/support/tls.js';

const WINDOW_MS = 2_000;
/** An attack begins with more than it goes on with; what it goes on with is the subject. */
const BEGINNING_MS = 500;
const CALM_MS = 300;
const POLICY = {
  allow_domain: ['allowed.test', '*.allowed.test', 'quiet.test'],
  limits: { requests_per_second: 400, max_connections: 1500 },
};

const [roundsText = '3', ...names] = process.argv.slice(2);
const chosen = names.length === 0 ? ATTACKS : ATTACKS.filter(({ name }) => names.includes(name));
const ca = makeTestCa();
const { attacked, quiet } = await startOrigins(ca);
const open = (): Promise<Arena> =>
  startArena({
    policy: POLICY,
    plainPort: attacked.port,
    securePort: attacked.tlsPort ?? 0,
    quietPort: quiet.tlsPort ?? 0,
    upstreamRoot: ca.rootPem,
  });
const [arena, other] = [await open(), await open()];
const victim = await Victim.connect(arena.victim.secure, arena.caPem);
await victim.measure(3 * WINDOW_MS);

console.log(
  '| attack | p99 without, ms | p99 with, ms | ratio | of all windows as one | p99 with the same on another gateway, ms | ratio to that |',
);
console.log('|---|---:|---:|---:|---:|---:|---:|');
for (const { name, start } of chosen) {
  const windows: { quiet: number[][]; loud: number[][]; elsewhere: number[][] } = {
    quiet: [],
    loud: [],
    elsewhere: [],
  };
  for (let round = 0; round < Number(roundsText); round++) {
    windows.quiet.push(await victim.measure(WINDOW_MS));
    windows.loud.push(await under(arena));
    windows.elsewhere.push(await under(other));
  }
  const [quiet, loud, elsewhere] = [windows.quiet, windows.loud, windows.elsewhere].map(p99s);
  // A window's p99 is its third or fourth worst of four hundred: that of all their requests together moves less.
  const asOne = percentile(windows.loud.flat(), 0.99) / percentile(windows.quiet.flat(), 0.99);
  const to = (other: readonly number[] = []): string => `${(median(loud ?? []) / median(other)).toFixed(2)}×`;
  console.log(
    `| ${name} | ${text(quiet)} | ${text(loud)} | ${to(quiet)} | ${asOne.toFixed(2)}× | ${text(elsewhere)} | ${to(elsewhere)} |`,
  );

  async function under(target: Arena): Promise<number[]> {
    const running = start(target.hostile, (WINDOW_MS + BEGINNING_MS) / 1000 + 1);
    await delay(BEGINNING_MS);
    const latencies = await victim.measure(WINDOW_MS);
    running.kill();
    await running.ended;
    await delay(CALM_MS);
    return latencies;
  }
}
victim.close();
await arena.close();
await other.close();
await attacked.close();
await quiet.close();

function p99s(windows: readonly number[][]): number[] {
  return windows.map(window => percentile(window, 0.99));
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function text(values: readonly number[] = []): string {
  const sorted = [...values].sort((a, b) => a - b);
  return `${median(values).toFixed(1)} [${sorted.at(0)?.toFixed(1)}–${sorted.at(-1)?.toFixed(1)}]`;
}
