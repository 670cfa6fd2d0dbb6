/**
 * `npm run bench`: starts the upstream, the peers and the gateway, loads them in turn, and writes what came of it to
 * `bench/results/` and as Markdown to standard output. Fails only if the gateway gave a wrong answer or none.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cell, cellsOf, measuredAmount, warmAmount } from './cells.js';
import { Agent, start, stopAll } from './child.js';
import type { Outcome, Route, Work } from './load/command.js';
import { cpuTimeUs, describeMachine, pinned, placement, residentMiB } from './machine.js';
import { type BenchOptions, readOptions } from './options.js';
import type { Peer, Running, Setting } from './peers/peer.js';
import { sallyport, sallyportOff } from './peers/sallyport.js';
import { scripted } from './peers/scripted.js';
import { squid } from './peers/squid.js';
import { direct, reverse, startUpstream } from './peers/upstream.js';
import { errorsOf, type Memory, type Results, type Sample } from './results.js';
import { tableOf } from './table.js';
import { openWorkshop } from './workshop.js';

const PEERS: readonly Peer[] = [direct, reverse, squid, sallyport, sallyportOff, ...scripted];

/** A column and what it takes to measure it. */
interface Lane {
  readonly peer: Peer;
  readonly running: Running;
  readonly column: string;
  readonly route: Route;
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const root = join(import.meta.dirname, '../../..');
  const machine = describeMachine();
  const cells = cellsOf(options);
  const setting = await prepare(root, options);
  const upstream = await startUpstream(setting);
  const absent: Record<string, string> = {};
  const peers = PEERS.filter(({ columns }) => columns.some(column => options.columns?.has(column) ?? true));
  const lanes = await startAll(peers, setting, absent);
  for (const lane of lanes) await warmUp(lane, options);
  const samples = await measureAll(lanes, cells, options, root);
  for (const { running } of lanes) await running.stop();
  const memory = options.memory ? await measureMemory(peers, setting, absent) : [];
  await upstream.stop();
  const results: Results = {
    startedAt: new Date().toISOString(),
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim(),
    quick: options.quick,
    rounds: options.rounds,
    machine,
    loadAfter: loadavg().map(value => Math.round(value * 100) / 100),
    columns: peers.flatMap(({ columns }) => columns),
    absent,
    samples,
    memory,
  };
  finish(results, cells, root);
}

async function prepare(root: string, { bigBytes, port }: BenchOptions): Promise<Setting> {
  const shop = openWorkshop(join(root, '.cache/bench/run'), bigBytes);
  const { measured, others } = placement();
  const script = join(root, '.cache/tools/bench/load/agent.js');
  const env = { BENCH_TOKEN: 'bench-token-0123456789abcdef0123456789abcdef' };
  const hostAgent = async (): Promise<Agent> => {
    const agent = new Agent(
      start(pinned(others, [process.execPath, script]), join(shop.dir, 'load.log'), env),
    );
    await agent.next();
    return agent;
  };
  return { shop, root, hostAgent, port, measured, others };
}

/** A peer that is not there, or does not start, is a column without numbers. */
async function startAll(
  peers: readonly Peer[],
  setting: Setting,
  absent: Record<string, string>,
): Promise<Lane[]> {
  const lanes: Lane[] = [];
  for (const peer of peers) {
    const missing = peer.missing(setting.root);
    try {
      if (missing !== null) throw new Error(missing);
      const running = await peer.start(setting);
      for (const [column, route] of running.routes) lanes.push({ peer, running, column, route });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      for (const column of peer.columns) absent[column] = missing ?? 'did not start';
      console.error(`${peer.name}: ${why}`);
    }
  }
  return lanes;
}

async function warmUp(lane: Lane, { quick }: BenchOptions): Promise<void> {
  // Code that is compiled while it runs takes some ten thousand requests, and a thousand handshakes, to become fast.
  const seconds = quick ? 0.5 : 4;
  for (const work of [
    { kind: 'handshakes', clients: 4, seconds },
    { kind: 'keep-alive', clients: 16, seconds },
  ] satisfies Work[]) {
    try {
      await lane.running.agent.perform(lane.route, work, () => undefined);
    } catch (error) {
      console.error(`${lane.column}, warm-up: ${error instanceof Error ? error.message : error}`);
    }
  }
}

async function measureAll(
  lanes: readonly Lane[],
  cells: readonly Cell[],
  options: BenchOptions,
  root: string,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const cell of cells) {
      // Each round begins with another, so that nobody always follows the same neighbour.
      for (let at = 0; at < lanes.length; at++) {
        const lane = lanes[(at + round) % lanes.length];
        if (lane === undefined || (cell.h2 && lane.running.h2 !== true)) continue;
        if (cell.h2 && lane.route.via === 'connect') continue;
        const sample = await measure(lane, cell, round, options);
        samples.push(sample);
        const cpu = sample.cpu === null ? '' : `, ${sample.cpu.toFixed(1)} ${cell.per.unit}`;
        console.error(
          `${round + 1}/${options.rounds} ${cell.title}: ${lane.column} ${sample.value.toFixed(1)} ${cell.unit}${cpu}`,
        );
      }
    }
  }
  mkdirSync(join(root, 'bench/results'), { recursive: true });
  return samples;
}

async function measure(lane: Lane, cell: Cell, round: number, options: BenchOptions): Promise<Sample> {
  const { agent } = lane.running;
  const pids = lane.running.pids();
  // One sandbox has 50 leaves a second, 64 at once, and two columns: what the first took must be there again.
  if (cell.name === 'first-visit') await delay(2_000);
  let before = 0;
  try {
    // Columns of one process must not visit the same new hosts.
    const offset = lane.column === 'sallyport proxy' ? 1_000 : 0;
    // Right before, and not the whole cell for all lanes before: the neighbours' turns take minutes.
    const warm = cell.cold
      ? null
      : await agent.perform(lane.route, cell.work(warmAmount(options), round), () => undefined);
    const work = cell.work(measuredAmount(options), round + offset / 50);
    const counted = await agent.perform(lane.route, work, () => {
      before = cpuTimeUs(pids);
    });
    // Not its time, but what it got wrong: a wrong answer is one at any moment.
    const outcome: Outcome = { ...counted, errors: sumOf(warm?.errors ?? {}, counted.errors) };
    const cpu =
      pids.length === 0 || outcome.count === 0 ? null : (cpuTimeUs(pids) - before) / cell.per.count(outcome);
    return {
      cell: cell.name,
      column: lane.column,
      round,
      value: cell.value(outcome),
      cpu,
      p99: outcome.p99,
      outcome,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message.slice(0, 200) : String(error);
    const outcome = { count: 0, bytes: 0, seconds: 1, p50: 0, p99: 0, errors: { [message]: 1 } };
    return { cell: cell.name, column: lane.column, round, value: 0, cpu: null, p99: 0, outcome };
  }
}

function sumOf(one: Outcome['errors'], other: Outcome['errors']): Outcome['errors'] {
  const sum: Record<string, number> = { ...one };
  for (const [kind, count] of Object.entries(other)) sum[kind] = (sum[kind] ?? 0) + count;
  return sum;
}

/** Each peer anew: what it has allocated for something else would be counted. */
async function measureMemory(
  peers: readonly Peer[],
  setting: Setting,
  absent: Record<string, string>,
): Promise<Memory[]> {
  const memory: Memory[] = [];
  for (const [what, work] of [
    ['1,000 idle clients', { kind: 'idle', clients: 1_000 }],
    ['500 hosts visited', { kind: 'first-visits', from: 0, hosts: 500 }],
  ] satisfies [string, Work][]) {
    for (const peer of peers) {
      if (peer.columns.some(column => column in absent) || peer === direct) continue;
      try {
        const entry = await measurePeerMemory(peer, setting, what, work);
        memory.push(entry);
        console.error(`${what}: ${entry.column} ${entry.mib.toFixed(0)} MiB`);
      } catch (error) {
        console.error(`${what}: ${peer.name}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  return memory;
}

async function measurePeerMemory(peer: Peer, setting: Setting, what: string, work: Work): Promise<Memory> {
  const running = await peer.start(setting);
  try {
    const [first] = running.routes;
    if (first === undefined) throw new TypeError(`${peer.name} has no route`);
    const [column, route] = first;
    await running.agent.perform(route, work, () => undefined);
    const mib = residentMiB(running.pids());
    await running.agent.perform(route, { kind: 'idle', clients: 0 }, () => undefined);
    return { column, what, mib };
  } finally {
    await running.stop();
  }
}

function finish(results: Results, cells: readonly Cell[], root: string): void {
  const stamp = results.startedAt.slice(0, 19).replaceAll(':', '-');
  const path = join(root, 'bench/results', stamp);
  const markdown = tableOf(results, cells);
  writeFileSync(`${path}.json`, JSON.stringify(results, null, 1));
  writeFileSync(`${path}.md`, `${markdown}\n`);
  console.log(markdown);
  const ours = results.columns.filter(column => column.startsWith('sallyport'));
  const faults = ours.flatMap(column => [...errorsOf(results, column).keys()]);
  const silent = ours.filter(column => column in results.absent);
  if (faults.length + silent.length > 0) process.exitCode = 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // What it started would stay behind, on its ports.
  process.once(signal, () => void stopAll().then(() => process.exit(1)));
}

try {
  await main();
} finally {
  await stopAll();
}
process.exit();
