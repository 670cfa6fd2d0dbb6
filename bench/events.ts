/**
 * What the record costs: events encoded, chained and spooled on one core; what a request pays for its event while it
 * is served; what metrics and another form cost; and how soon a reader that comes back has its first event out of a large spool.
 *
 *     npx tsc -p tsconfig.tools.json && taskset -c 0 node .cache/tools/bench/events.js [EVENTS] [TAIL-EVENTS] [SPOOL]
 *
 * With SPOOL, the large spool is made there and kept, and the next run finds it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/core/clock.js';
import { createBus } from '../src/events/bus.js';
import type { Event, EventBody } from '../src/events/event.js';
import { encodeOcsf } from '../src/events/ocsf.js';
import { readSpool } from '../src/events/spool/read.js';
import { type FsyncPolicy, openSpool } from '../src/events/spool/spool.js';
import type { EventStore } from '../src/events/store.js';
import { DEFAULT_PLACES } from '../src/secrets/place.js';
import { redactAll } from '../src/secrets/redact.js';
import { parseSecret } from '../src/secrets/secret.js';
import { type SecretSet, SecretStore } from '../src/secrets/store.js';
import { Metrics } from '../src/sinks/metrics.js';

const BATCH = 512;
const GATEWAY = 'bench0bench0benc';

/** A request as the gateway records it: no two alike in what differs between requests. */
function bodyOf(at: number): EventBody {
  return {
    type: 'request.done',
    sandbox: 'run-0a1b2c3d',
    network: {
      layer: 'http',
      decision: 'allow',
      flow: `f-${at >> 4}`,
      request: `r-${at}`,
      method: 'GET',
      url: `https://api.example.com/v1/items/${at}?page=${at % 97}&fields=id,name`,
      host: 'api.example.com',
      port: 443,
      status_code: 200,
      request_bytes: 412 + (at % 100),
      response_bytes: 1_800 + (at % 1_000),
      duration_ms: 12 + (at % 7),
      blocked: false,
      reason: null,
      rule: 'allow_domain[17]',
      destination: '93.184.216.34:443',
      protocol: 'http/1.1',
      secrets: ['API_TOKEN'],
      generation: 1,
      timings: {
        dns_ms: null,
        connect_ms: null,
        tls_ms: null,
        first_byte_ms: (at % 9_000) / 1_000,
        total_ms: 12 + (at % 9_000) / 1_000,
      },
    },
  };
}

/** Makes events as a gateway does: what a bus was told, numbered and with its look for secrets. */
class Maker {
  readonly #made: Event[] = [];
  readonly #bus = createBus({
    clock: systemClock,
    gatewayId: GATEWAY,
    redact: text => text,
    sinks: [{ name: 'maker', whenFull: 'block', write: events => void this.#made.push(...events) }],
  });
  #at = 0;

  async make(count: number): Promise<readonly Event[]> {
    for (let i = 0; i < count; i++) this.#bus.emit(bodyOf(this.#at++));
    while (this.#made.length < count) await new Promise(setImmediate);
    return this.#made.splice(0);
  }
}

interface Rate {
  readonly perSecond: number;
  /** The same by the median of slices of 2,048 events, and by the fastest twentieth: other work takes less of those. */
  readonly medianPerSecond: number;
  readonly bestPerSecond: number;
  readonly cpuUs: number;
}

/** Events are made before the clock runs, a few at a time: a gateway has no more of them at once either. */
async function fill(store: EventStore, maker: Maker, count: number): Promise<Rate> {
  let ms = 0;
  let cpu = 0;
  const slices: number[] = [];
  for (let done = 0; done < count; ) {
    const slice: (readonly Event[])[] = [];
    for (let i = 0; i < 4 && done < count; i++) {
      const size = Math.min(BATCH, count - done);
      slice.push(await maker.make(size));
      done += size;
    }
    const started = performance.now();
    const used = process.cpuUsage();
    for (const batch of slice) await store.write(batch);
    const took = performance.now() - started;
    ms += took;
    slices.push(took / slice.reduce((sum, batch) => sum + batch.length, 0));
    const { user, system } = process.cpuUsage(used);
    cpu += user + system;
  }
  slices.sort((a, b) => a - b);
  const median = slices[slices.length >> 1] ?? 0;
  const best = slices[Math.floor(slices.length / 20)] ?? 0;
  const perSecond = (count / ms) * 1_000;
  return { perSecond, medianPerSecond: 1_000 / median, bestPerSecond: 1_000 / best, cpuUs: cpu / count };
}

async function measureSpool(root: string, count: number, fsync: FsyncPolicy): Promise<Rate> {
  const dir = join(root, fsync);
  const options = { dir, keyDir: join(root, 'keys'), clock: systemClock, fsync, keep: { maxBytes: null } };
  const store = await openSpool(options);
  const maker = new Maker();
  await fill(store, maker, 20_000);
  const rate = await fill(store, maker, count);
  await store.close?.();
  rmSync(dir, { recursive: true });
  return rate;
}

function secretsOf(count: number): SecretSet {
  const rest = { placeholder: null, places: DEFAULT_PLACES, pinned: false, allowHttp: false } as const;
  const flags = { maxOccurrences: null, redact: true, requirePlaceholder: false } as const;
  const entries = Array.from({ length: count }, (_, at) => {
    const secret = parseSecret(`TOKEN_${at}`, randomBytes(24).toString('base64url'));
    if (!secret.ok) throw new Error(secret.error);
    return [`TOKEN_${at}`, { secret: secret.value, ...rest, ...flags }] as const;
  });
  return new Map(entries);
}

/** What `emit` takes of whoever calls it; what is done with the event later is not in it. */
async function measureEmit(root: string, count: number): Promise<number> {
  const dir = join(root, 'emit');
  const store = await openSpool({ dir, keyDir: join(root, 'keys'), clock: systemClock });
  const secrets = new SecretStore(randomBytes(32), 'bench').forSandbox('sb', secretsOf(10));
  const bus = createBus({
    clock: systemClock,
    gatewayId: GATEWAY,
    store,
    redact: text => redactAll(secrets, text),
  });
  let us = 0;
  for (let done = 0; done < count; done += 64) {
    const bodies = Array.from({ length: 64 }, (_, at) => bodyOf(done + at));
    const started = performance.now();
    for (const body of bodies) bus.emit(body);
    us += (performance.now() - started) * 1_000;
    await new Promise(setImmediate);
  }
  await bus.close();
  return us / count;
}

/** What one more sink takes of the gateway's thread, for each event. */
async function measureSink(count: number, write: (events: readonly Event[]) => void): Promise<number> {
  const maker = new Maker();
  let us = 0;
  for (let done = 0; done < count; done += BATCH) {
    const events = await maker.make(BATCH);
    const started = performance.now();
    write(events);
    us += (performance.now() - started) * 1_000;
  }
  return us / count;
}

/** Milliseconds from the call to the first event behind the cursor, from places all over the spool. */
async function measureTail(dir: string, events: number): Promise<readonly number[]> {
  const took: number[] = [];
  for (let i = 0; i < 20; i++) {
    const seq = 1 + Math.floor(((i + 0.5) / 20) * events);
    const started = performance.now();
    for await (const [event] of readSpool(dir, { from: `${GATEWAY}-${seq}` })) {
      took.push(performance.now() - started);
      if (event?.seq !== seq + 1) throw new Error(`${event?.id} came, and ${seq + 1} was next`);
      break;
    }
  }
  return took.sort((a, b) => a - b);
}

async function largeSpool(root: string, given: string | undefined, events: number): Promise<string> {
  const dir = given ?? join(root, 'large');
  const names: readonly string[] = await readdir(dir).catch(() => []);
  if (names.includes('spool.json')) return dir;
  const keyDir = join(root, 'keys');
  const store = await openSpool({ dir, keyDir, clock: systemClock, fsync: 'none', keep: { maxBytes: null } });
  await fill(store, new Maker(), events);
  await store.close?.();
  return dir;
}

async function main(): Promise<void> {
  const [count = '1000000', tail = '1000000', given] = process.argv.slice(2);
  const root = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  writeFileSync(join(root, 'note'), 'made by bench/events.ts\n');
  const show = (what: string, value: string): void =>
    void process.stdout.write(`${what.padEnd(58)} ${value}\n`);
  try {
    for (const fsync of ['interval', 'always', 'none'] as const) {
      const { perSecond, medianPerSecond, bestPerSecond, cpuUs } = await measureSpool(
        root,
        Number(count),
        fsync,
      );
      const rates = [perSecond, medianPerSecond, bestPerSecond];
      const [all, median, best] = rates.map(one => Math.round(one).toLocaleString('en'));
      const rate = `${all} events/s (slices: p50 ${median}, p95 ${best}), ${cpuUs.toFixed(2)} us CPU an event`;
      show(`encoded, chained and spooled, fsync ${fsync}`, rate);
    }
    show(
      'emit, redacted, on the path of a request',
      `${(await measureEmit(root, Number(count) / 4)).toFixed(2)} us`,
    );
    const metrics = new Metrics({ sandboxes: 100, version: '' });
    const inMetrics = await measureSink(Number(count) / 4, events => metrics.write(events));
    show('counted for metrics, beside the path of a request', `${inMetrics.toFixed(2)} us`);
    const inOcsf = await measureSink(Number(count) / 4, events => {
      for (const event of events) encodeOcsf(event, { id: event.id, version: '' });
    });
    show('written as OCSF, beside the path of a request', `${inOcsf.toFixed(2)} us`);
    if (Number(tail) > 0) {
      const dir = await largeSpool(root, given, Number(tail));
      const took = await measureTail(dir, Number(tail));
      const [p50 = 0, max = 0] = [took[took.length >> 1], took.at(-1)];
      show(
        `first event behind a cursor, of ${Number(tail).toLocaleString('en')}`,
        `p50 ${p50.toFixed(1)} ms, max ${max.toFixed(1)} ms`,
      );
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

await main();
