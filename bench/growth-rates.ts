/**
 * Requests a second through gateways of 1, 10 and 100 sandboxes, each in a process of its own, over a hundred TLS
 * connections that ask at once (shell: child processes, sockets).
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { start, stopAll } from './child.js';
import type { GrowthDoors, GrowthOptions } from './growth-gateway.js';
import { Client } from './load/client.js';
import { FILES_HOST } from './load/command.js';
import { cpuTimeUs, pinned, placement } from './machine.js';
import { startUpstream } from './peers/upstream.js';
import { openWorkshop } from './workshop.js';

export interface Rate {
  readonly perSecond: number;
  readonly cpuUs: number;
}

interface Side {
  readonly pid: number;
  readonly asks: readonly (() => Promise<void>)[];
}

const ROOT = process.cwd();
const WARM_MS = 2_000;

/** One list for each of `sizes`: a rate for each of the rounds, which take turns. */
export async function ratesOf(
  sizes: readonly number[],
  connections: number,
  rounds: number,
  seconds: number,
  folder: string,
): Promise<readonly (readonly Rate[])[]> {
  const { measured, others } = placement();
  if (others !== null) execFileSync('taskset', ['-cp', others, String(process.pid)]);
  const port = 18_000 + (process.pid % 120) * 100;
  // nginx becomes somebody else, who is to read what it serves.
  chmodSync(folder, 0o755);
  const shop = openWorkshop(folder, 1 << 20);
  try {
    await startUpstream({ shop, port, others, root: ROOT });
    const sides: Side[] = [];
    for (const sandboxes of sizes)
      sides.push(await open({ sandboxes, port, upstreamCa: shop.upstreamCa, folder }, connections, measured));
    for (const side of sides) await rateOf(side, WARM_MS);
    const rates = sides.map((): Rate[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [at, side] of sides.entries()) rates[at]?.push(await rateOf(side, seconds * 1_000));
    }
    return rates;
  } finally {
    await stopAll();
  }
}

async function open(options: GrowthOptions, connections: number, cpu: string | null): Promise<Side> {
  const script = join(ROOT, '.cache/tools/bench/growth-gateway.js');
  const argv = pinned(cpu, [process.execPath, script, JSON.stringify(options)]);
  const child = start(argv, join(options.folder, 'gateway.log'));
  const [line] = (await once(createInterface(child.stdout as NodeJS.ReadableStream), 'line')) as [string];
  const { caPem, doors } = JSON.parse(line) as GrowthDoors;
  const secureContext = tls.createSecureContext({ ca: caPem });
  const asks: (() => Promise<void>)[] = [];
  for (let number = 0; number < connections; number++) {
    const door = doors[number % doors.length] as GrowthDoors['doors'][number];
    const socket = tls.connect({ host: '127.0.0.1', port: door.port, servername: FILES_HOST, secureContext });
    await once(socket, 'secureConnect');
    asks.push(asker(new Client(socket), door.token));
  }
  return { pid: child.pid ?? 0, asks };
}

function asker(client: Client, token: string): () => Promise<void> {
  const head = `GET /1k HTTP/1.1\r\nHost: ${FILES_HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  const bytes = Buffer.from(head);
  return () =>
    new Promise((resolve, reject) => {
      client.request(bytes, 1_024, fault => (fault === null ? resolve() : reject(new Error(fault))));
    });
}

async function rateOf({ pid, asks }: Side, milliseconds: number): Promise<Rate> {
  await delay(100);
  let count = 0;
  const before = cpuTimeUs([pid]);
  const begun = performance.now();
  const end = begun + milliseconds;
  await Promise.all(
    asks.map(async ask => {
      while (performance.now() < end) {
        await ask();
        count++;
      }
    }),
  );
  const elapsed = (performance.now() - begun) / 1_000;
  return { perSecond: count / elapsed, cpuUs: (cpuTimeUs([pid]) - before) / count };
}
