/**
 * How fast a record is read against a candidate policy: events a second, the median of rounds, on one core.
 *
 * Run: node .cache/tools/bench/replay.js [EVENTS] [ROUNDS] (after `npx tsc -p tsconfig.tools.json`)
 *
 * The log is a made-up busy run: fifty hosts, a thousand paths, one event in ten a look-up, one in twenty a refusal,
 * a secret on every fourth request. It is read from a file as the command does: a line by its shape, then one question
 * or two (the request, and the address that was dialled) for each event.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFacts } from '../src/cli/events/log.js';
import { encodeEvent } from '../src/events/encode.js';
import { EVENT_VERSION, type Event, type NetworkEvent } from '../src/events/event.js';
import { createReplay } from '../src/events/report/replay.js';
import { compile } from '../src/policy/compile.js';
import { documentFrom } from '../src/policy/document.js';

const [events = 1_000_000, rounds = 5] = process.argv.slice(2).map(Number);
const HOSTS = 50;
const BATCH = 20_000;
const QUIET = { stdout: () => undefined, stderr: () => undefined, colour: false };

function networkOf(n: number): NetworkEvent {
  const host = `host${n % HOSTS}.example.com`;
  const lookUp = n % 10 === 0;
  const refused = n % 20 === 7;
  return {
    layer: lookUp ? 'dns' : 'http',
    decision: refused ? 'deny' : 'allow',
    flow: lookUp ? null : `f-${n >> 3}`,
    request: lookUp ? null : `r-${n}`,
    method: lookUp ? 'A' : n % 3 === 0 ? 'POST' : 'GET',
    url: lookUp ? `dns:${host}?type=A` : `https://${host}/v1/items/${n % 1_000}?page=${n % 7}`,
    host,
    port: lookUp ? 53 : 443,
    status_code: lookUp ? 0 : refused ? 403 : 200,
    request_bytes: 312,
    response_bytes: 2_048,
    duration_ms: 12,
    blocked: refused,
    ...(refused && { block_reason: `no rule allows ${host}` }),
    reason: refused ? 'no-rule' : null,
    rule: refused ? null : `allow_domain[${n % HOSTS}]`,
    destination: lookUp || refused ? null : `93.184.216.${n % 200}:443`,
    protocol: lookUp ? 'dns/udp' : 'h2',
    secrets: n % 4 === 1 && !refused ? ['API_KEY'] : [],
    generation: 1,
    ...(!lookUp && {
      timings: { dns_ms: null, connect_ms: null, tls_ms: null, first_byte_ms: 11.234, total_ms: 12.017 },
    }),
  };
}

function eventOf(n: number): Event {
  const network = networkOf(n);
  const type = `${network.layer === 'dns' ? 'dns' : 'request'}.${
    network.decision === 'deny' ? 'refused' : network.layer === 'dns' ? 'answered' : 'done'
  }` as Event['type'];
  const gateway_id = '0123456789abcdef';
  const head = { version: EVENT_VERSION, id: `${gateway_id}-${n}`, gateway_id } as const;
  return { ...head, type, timestamp: 1_700_000_000_000 + n, seq: n, sandbox: 'run-8b1f0c6a', network };
}

async function write(path: string): Promise<void> {
  writeFileSync(path, '');
  for (let first = 1; first <= events; first += BATCH) {
    const count = Math.min(BATCH, events - first + 1);
    await appendFile(path, Array.from({ length: count }, (_, i) => encodeEvent(eventOf(first + i))).join(''));
  }
}

function sure<T>(result: { ok: true; value: T } | { ok: false; error: unknown }): T {
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

/** A hundred rules, half of them for hosts that the record knows. */
const document = sure(
  documentFrom(
    {
      allow_domain: Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0
          ? `host${i}.example.com`
          : { domain: `host${i}.example.com`, methods: ['GET'], paths: ['/v1/**'] },
      ),
      secrets: { API_KEY: { hosts: ['*.example.com'] } },
    },
    'bench',
  ),
);
const policy = sure(compile([document]));

interface Round {
  readonly perSecond: number;
  /** By processor time, all threads together: steadier than the clock on a machine with other work. */
  readonly perCpuSecond: number;
  readonly asked: number;
  readonly denied: number;
}

async function round(path: string): Promise<Round> {
  const replay = createReplay(policy, [document]);
  const start = performance.now();
  const cpu = process.cpuUsage();
  const code = await readFacts(path, QUIET, facts => {
    for (const fact of facts) replay.add(fact);
  });
  if (code !== 0) throw new Error(`the log was not read: ${code}`);
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  const perCpuSecond = events / ((user + system) / 1e6);
  return { perSecond: events / seconds, perCpuSecond, asked: replay.asked, denied: replay.newlyDenied.total };
}

const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
try {
  const path = join(dir, 'events.jsonl');
  await write(path);
  console.log(`${events} events, ${(statSync(path).size / events).toFixed(0)} bytes each`);
  const all: Round[] = [];
  for (let i = 0; i < rounds; i++) all.push(await round(path));
  const ranked = (key: 'perSecond' | 'perCpuSecond') => all.map(each => each[key]).sort((a, b) => a - b);
  const [{ asked, denied } = { asked: 0, denied: 0 }] = all;
  const shown = (value = 0) => Math.round(value).toLocaleString('en');
  console.log(`${asked} decisions asked again, ${denied} newly denied`);
  for (const key of ['perSecond', 'perCpuSecond'] as const) {
    const speeds = ranked(key);
    const range = `(${shown(speeds[0])} to ${shown(speeds.at(-1))})`;
    const unit = key === 'perSecond' ? 'events/s' : 'events a second of processor time';
    console.log(`replay: ${shown(speeds[speeds.length >> 1])} ${unit} ${range}`);
  }
  console.log(`peak memory: ${Math.round(process.resourceUsage().maxRSS / 1_024)} MiB`);
} finally {
  rmSync(dir, { recursive: true });
}
