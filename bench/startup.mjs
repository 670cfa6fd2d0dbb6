// What a sandbox costs before its command runs: `node bench/startup.mjs [--rounds N] [--json]` after `npm run build`.
//
// Four things, interleaved, medians: `true` by itself; the door opened and closed; `true` in an open door; and
// the whole `sallyport run -- true`, which the budget (under 400 ms more than plain `true`) is about.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openVestibule } from '../dist/net/vestibule/index.js';
import { startCommand } from '../dist/vm/index.js';

const BUDGET_MS = 400;
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, json: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);
const main = join(dirname(fileURLToPath(import.meta.url)), '../dist/cli/main.js');
const state = mkdtempSync(join(tmpdir(), 'sallyport-startup-'));

function program(file, args) {
  const env = { ...process.env, XDG_STATE_HOME: state, XDG_DATA_HOME: state };
  return new Promise((resolve, reject) => {
    spawn(file, args, { stdio: 'ignore', env })
      .once('error', reject)
      .once('close', code => (code === 0 ? resolve() : reject(new Error(`${file} ended with ${code}`))));
  });
}

const openDoor = () =>
  openVestibule({
    sandbox: 'bench',
    allowedPorts: [{ from: 443, to: 443 }],
    nameOf: () => null,
    onFlow: flow => flow.refuse(),
    onDnsTcp: flow => flow.refuse(),
    onDnsUdp: () => {},
  });

async function runTrue(door) {
  const command = await startCommand(door.cell, {
    argv: ['true'],
    env: new Map([['PATH', '/usr/bin:/bin']]),
    workdir: state,
    binds: [],
    noFsIsolation: false,
    hide: [],
    files: [],
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  });
  const { code } = await command.exit;
  if (code !== 0) throw new Error(`true ended with ${code}`);
}

/** Resident memory of a process and of all below it, in KiB. */
function residentKib(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
}

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return [performance.now() - started, result];
}

const samples = {
  'plain true': [],
  'open the door': [],
  'true in the door': [],
  'sallyport run -- true': [],
};
let idleKib = 0;
for (let round = 0; round <= rounds; round++) {
  // The first round warms the page cache and is not counted.
  const keep = (name, ms) => (round > 0 ? samples[name].push(ms) : 0);
  keep('plain true', (await timed(() => program('true', [])))[0]);
  const [opened, door] = await timed(openDoor);
  keep('open the door', opened);
  keep('true in the door', (await timed(() => runTrue(door)))[0]);
  idleKib = residentKib(door.cell.pid) * 2;
  await door.close();
  if (existsSync(main)) {
    keep(
      'sallyport run -- true',
      (await timed(() => program(process.execPath, [main, 'run', '--quiet', '--', 'true'])))[0],
    );
  }
}
rmSync(state, { recursive: true, force: true });

const median = list => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const results = Object.fromEntries(
  Object.entries(samples)
    .filter(([, list]) => list.length > 0)
    .map(([name, list]) => [name, { median: median(list), min: Math.min(...list), max: Math.max(...list) }]),
);
if (values.json) {
  console.log(JSON.stringify({ rounds, results, idleKib }));
} else {
  console.log(
    `${cpus()[0]?.model ?? 'unknown'} × ${cpus().length}, Node ${process.versions.node}, load ${loadavg()[0].toFixed(1)}, ${rounds} rounds\n`,
  );
  console.log('| ms | median | min | max |\n|---|---|---|---|');
  for (const [name, { median: mid, min, max }] of Object.entries(results)) {
    console.log(`| ${name} | ${mid.toFixed(0)} | ${min.toFixed(0)} | ${max.toFixed(0)} |`);
  }
  console.log(`\nan idle door keeps two shells, about ${(idleKib / 1024).toFixed(1)} MiB of resident memory`);
  const whole = results['sallyport run -- true'];
  if (whole !== undefined) {
    const overhead = whole.median - results['plain true'].median;
    console.log(`overhead of \`run -- true\`: ${overhead.toFixed(0)} ms (budget ${BUDGET_MS} ms)`);
  }
}
