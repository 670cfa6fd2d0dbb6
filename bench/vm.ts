/**
 * What a virtual machine costs: its start, a command, files, the network through the gateway beside QEMU's own user
 * network, memory, ten at once.
 *
 * Run: npm run build && npx tsc -p tsconfig.tools.json && node .cache/tools/bench/vm.js [--runs N] [--mib N]
 * [--parts starts,commands,network,fleet]
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { createGateway, type Gateway } from '../src/gateway.js';
import { flagsLayer } from '../src/policy/flags.js';
import { Ca } from '../src/proxy/tls/ca.js';
import type { MachineDoor, VMConfig } from '../src/vm/backend.js';
import { createQemuBackend, ensureDefaultImage, ensureGuestFiles } from '../src/vm/qemu/index.js';
import type { QemuMachine } from '../src/vm/qemu/machine.js';
import { type BareGuest, bareGuest } from './vm-guest.js';

const { values } = parseArgs({
  options: { runs: { type: 'string' }, mib: { type: 'string' }, parts: { type: 'string' } },
});
const PARTS = (values.parts ?? 'starts,commands,network,fleet').split(',');
const RUNS = Number(values.runs ?? 5);
const MIB = Number(values.mib ?? 256);
const ROUND_TRIPS = 50;
const REQUESTS = 300;
const FLEET = 10;
const MEBIBYTE = 1 << 20;
const NAME = 'api.bench.test';
const BLOB = Buffer.alloc(64 * MEBIBYTE, 'sallyport');

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-bench-vm-'));
const home = join(process.cwd(), '.cache', 'bench', 'vm');
let machines = 0;

async function main(): Promise<void> {
  console.log(`\n${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} processors; medians of ${RUNS}\n`);
  await ensureGuestFiles(home, console.error);
  await ensureDefaultImage(home, console.error);
  row('what', 'value');
  row('---', '---');
  if (PARTS.includes('starts')) await starts();
  if (PARTS.includes('commands')) await commandsAndFiles();
  if (PARTS.includes('network')) await network();
  if (PARTS.includes('fleet')) await fleet();
}

function row(what: string, value: string): void {
  console.log(`| ${what} | ${value} |`);
}

function configOf(door: MachineDoor | null, memoryMb = 512): VMConfig {
  machines += 1;
  return {
    id: `bench-${machines}`,
    stateDir: join(scratch, String(machines)),
    homeDir: home,
    image: '',
    persist: false,
    privileged: false,
    resources: { cpus: 1, memoryMb, diskSizeMb: 2048, timeoutSeconds: 0 },
    vfs: {},
    extraDisks: [],
    env: new Map(),
    door,
    hostname: 'bench',
    addHosts: [],
    searchDomains: [],
    portForwards: [],
    hide: [],
  };
}

async function started(door: MachineDoor | null, memoryMb?: number): Promise<QemuMachine> {
  const machine = await createQemuBackend().create(configOf(door, memoryMb));
  await machine.start();
  return machine;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? 0;
}

async function starts(): Promise<void> {
  const samples: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    let machine: QemuMachine | null = null;
    samples.push(
      await timed(async () => {
        machine = await started(null);
        await machine.exec('true');
      }),
    );
    await (machine as QemuMachine | null)?.close();
  }
  row('start to the result of the first command', `${median(samples).toFixed(0)} ms`);
}

async function commandsAndFiles(): Promise<void> {
  const machine = await started(null);
  const trips: number[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip += 1)
    trips.push(await timed(() => machine.exec('true', { args: [] })));
  row('one command, there and back', `${median(trips).toFixed(1)} ms`);
  row('memory of the host for an idle machine of 512 MiB', `${memoryOf(machine.pid ?? 0).toFixed(0)} MiB`);
  const chunk = Buffer.alloc(MEBIBYTE, 1);
  const source = Readable.from(
    Array.from({ length: MIB }, () => chunk),
    { objectMode: false },
  );
  const inMs = await timed(() => machine.writeFile('/workspace/bulk', source));
  row(`a file of ${MIB} MiB into the machine`, rate(MIB, inMs));
  const outMs = await timed(async () => {
    for await (const _ of await machine.readFileStream('/workspace/bulk'));
  });
  row('the same file out of it', rate(MIB, outMs));
  await machine.close();
}

function rate(mib: number, ms: number): string {
  return `${((mib * 1000) / ms).toFixed(1)} MiB/s`;
}

/** Proportional set size of a process and all below it, in MiB. */
function memoryOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const [, kilobytes = '0'] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
  return children
    .filter(Boolean)
    .reduce((total, child) => total + memoryOf(Number(child)), Number(kilobytes) / 1024);
}

async function startServer(): Promise<{ readonly port: number; close(): void }> {
  const server = http.createServer((request, response) => {
    response.end(request.url === '/blob' ? BLOB : 'ok\n');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function network(): Promise<void> {
  const { port, close } = await startServer();
  const gateway = await openGateway(port);
  const door = await gateway.openDoor('bench', 'tap');
  const machine = await started(door);
  const ours = (command: string) => machine.exec(command).then(({ stdout }) => stdout);
  await pair('through the gateway', ours, `http://${NAME}`);
  await machine.close();
  await gateway.close();
  const plain = await userNetwork();
  await pair("through QEMU's user network, no gateway", plain.exec, `http://10.0.2.2:${port}`);
  await plain.close();
  close();
}

type Exec = (command: string) => Promise<string>;

/** curl inside the guest; its own times, so that the command's start is no part of them. */
async function pair(where: string, exec: Exec, origin: string): Promise<void> {
  const time = `-w '%{time_total} '`;
  const downloads: number[] = [];
  for (let run = 0; run < Math.min(RUNS, 3); run += 1) {
    downloads.push(Number(await exec(`curl -sS -o /dev/null ${time} ${origin}/blob`)));
  }
  row(`download, ${where}`, rate(BLOB.length / MEBIBYTE, median(downloads) * 1000));
  const times = await exec(`curl -sS -o /dev/null ${time} '${origin}/[1-${REQUESTS}]'`);
  const seconds = times.trim().split(' ').map(Number);
  const total = seconds.reduce((sum, each) => sum + each, 0);
  row(`requests on one connection, ${where}`, `${(seconds.length / total).toFixed(0)} a second`);
}

async function openGateway(port: number): Promise<Gateway> {
  const layer = flagsLayer({ allow: [NAME], addHost: [`${NAME}=127.0.0.1:${port}`] });
  if (!layer.ok) throw new Error(JSON.stringify(layer.error));
  const { document, literals } = layer.value;
  return await createGateway({
    layers: [document],
    literals,
    ca: Ca.open({ dir: join(scratch, 'ca') }),
    env: {},
  });
}

/** The guest's own limit: the same guest with a network that QEMU itself gives, outside of any cell. */
async function userNetwork(): Promise<BareGuest> {
  const more = ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='];
  const guest = await bareGuest({ home, modules: ['net'], more });
  await guest.exec(
    'ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2',
  );
  return guest;
}

async function fleet(): Promise<void> {
  const all: QemuMachine[] = [];
  const ms = await timed(async () => {
    const up = Array.from({ length: FLEET }, async () => {
      const machine = await started(null, 256);
      all.push(machine);
      await machine.exec('true');
    });
    await Promise.all(up);
  });
  row(`${FLEET} machines at once, to the last one's first command`, `${(ms / 1000).toFixed(1)} s`);
  const memory = all.reduce((total, { pid }) => total + memoryOf(pid ?? 0), 0);
  row(`memory of the host for ${FLEET} idle machines of 256 MiB`, `${memory.toFixed(0)} MiB`);
  await Promise.all(all.map(machine => machine.close()));
}

try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
