/**
 * What redaction costs: one large content, fetched by curl through the built gateway with a secret whose answers are
 * redacted, and with one whose answers are not, in turn. Prints rates, processor time of the gateway, and the ratio.
 *
 *     npx tsc -p tsconfig.tools.json && node .cache/tools/bench/redact.js [MIB] [ROUNDS]
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { cpuTimeUs } from './machine.js';
import { openWorkshop } from './workshop.js';

const NAME = 'redact.bench.test';
const MIB = 1 << 20;
const WAYS = ['PLAIN', 'REDACTED'] as const;
type Way = (typeof WAYS)[number];

interface Fetched {
  readonly mibPerSecond: number;
  readonly cpuSeconds: number;
}

/** Lines of JSON with words, numbers and digests: what an API answers. */
function contentBlock(): Buffer {
  const lines: string[] = [];
  for (let at = 0, size = 0; size < MIB; at += 1) {
    const digest = Buffer.from(`digest ${at * 7919} of line ${at}`).toString('base64');
    const line = JSON.stringify({
      id: at,
      name: `item number ${at}`,
      digest,
      active: at % 3 === 0,
      size: at * 31,
    });
    lines.push(line);
    size += line.length + 1;
  }
  return Buffer.from(lines.join('\n')).subarray(0, MIB);
}

function* blocks(block: Buffer, count: number): Generator<Buffer> {
  const PIECE = 65_536;
  for (let done = 0; done < count; done += 1) {
    for (let at = 0; at < block.length; at += PIECE) yield block.subarray(at, at + PIECE);
  }
}

async function main(): Promise<void> {
  const [mib = 256, rounds = 4] = process.argv.slice(2).map(Number);
  const root = join(import.meta.dirname, '../../..');
  const shop = openWorkshop(join(root, '.cache/bench/run'), MIB);
  const block = contentBlock();
  const server = https.createServer(
    { key: readFileSync(shop.key), cert: readFileSync(shop.cert), ALPNProtocols: ['http/1.1'] },
    (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': mib * MIB });
      void pipeline(Readable.from(blocks(block, mib)), response).catch(console.error);
    },
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const gateway = startGateway(root, shop.upstreamCa, port);
  const answers = createInterface({ input: gateway.stdout })[Symbol.asyncIterator]();
  const fetched = new Map<Way, Fetched[]>(WAYS.map(way => [way, []]));
  for (let round = -1; round < rounds; round += 1) {
    for (const way of round % 2 === 0 ? WAYS : [...WAYS].reverse()) {
      const before = cpuTimeUs([gateway.pid ?? 0]);
      gateway.stdin.write(`${way}\n`);
      const [status, size, rate] = String((await answers.next()).value)
        .split(' ')
        .map(Number);
      if (status !== 200 || size !== mib * MIB) throw new Error(`${way}: ${status}, ${size} bytes`);
      const cpuSeconds = (cpuTimeUs([gateway.pid ?? 0]) - before) / 1e6;
      // The first round warms up.
      if (round >= 0) fetched.get(way)?.push({ mibPerSecond: (rate ?? 0) / MIB, cpuSeconds });
    }
  }
  gateway.stdin.end();
  server.close();
  report(fetched, mib);
}

/** Fetches once for each line of its input, with the secret that the line names. */
const LOOP = `while read -r way; do
  case $way in PLAIN) key=$PLAIN;; *) key=$REDACTED;; esac
  curl -sS -o /dev/null -w '%{http_code} %{size_download} %{speed_download}\\n' -H "X-Key: $key" https://${NAME}/ </dev/null
done`;

function startGateway(root: string, ca: string, port: number) {
  const policy = join(root, 'bench/redact.yaml');
  const flags = ['--policy', policy, '--add-host', `${NAME}=127.0.0.1:${port}`, '--upstream-ca', ca];
  const argv = [join(root, 'dist/cli/main.js'), 'run', '--quiet', ...flags, '--', 'sh', '-c', LOOP];
  return spawn(process.execPath, [...(process.env.BENCH_NODE_FLAGS?.split(' ') ?? []), ...argv], {
    env: {
      ...process.env,
      PLAIN: 'plain-value-0123456789abcdef',
      REDACTED: 'redacted-value-0123456789abcdef',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function report(fetched: ReadonlyMap<Way, readonly Fetched[]>, mib: number): void {
  const rate = (way: Way): number => median((fetched.get(way) ?? []).map(({ mibPerSecond }) => mibPerSecond));
  const cpu = (way: Way): number => median((fetched.get(way) ?? []).map(({ cpuSeconds }) => cpuSeconds));
  for (const way of WAYS) {
    const all = (fetched.get(way) ?? []).map(({ mibPerSecond }) => mibPerSecond.toFixed(0)).join(' ');
    console.log(
      `${way}: median ${rate(way).toFixed(0)} MiB/s (${all}), ${cpu(way).toFixed(2)} CPU s for ${mib} MiB`,
    );
  }
  const percent = (ratio: number): string => `${(ratio * 100).toFixed(0)} %`;
  console.log(`redacted/plain: rate ${percent(rate('REDACTED') / rate('PLAIN'))}`);
  console.log(`by processor time: ${percent(cpu('PLAIN') / cpu('REDACTED'))}`);
}

await main();
