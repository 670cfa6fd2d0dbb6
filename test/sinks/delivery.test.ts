import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.js';
import { createBus, type EventBus } from '../../src/events/bus.js';
import type { Event } from '../../src/events/event.js';
import { openSpool } from '../../src/events/spool/spool.js';
import { openDeadLetters } from '../../src/sinks/dead-letters.js';
import { Delivery, type DeliveryOptions, type DeliverySettings } from '../../src/sinks/delivery.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';
import { FakeTime, PeerTransport } from './support.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-sinks-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const SETTINGS: DeliverySettings = {
  name: 'peer',
  whenFull: 'drop-and-mark',
  filter: null,
  batchEvents: 10,
  waitMs: 1,
  firstPauseMs: 100,
  mostPauseMs: 1_000,
  giveUpMs: 60_000,
  timeoutMs: 10_000,
};

interface Stage {
  readonly bus: EventBus;
  readonly time: FakeTime;
  readonly peer: PeerTransport;
  readonly delivery: Delivery;
  readonly troubles: string[];
  /** Everything the other sink of the same bus saw. */
  readonly told: Event[];
}

async function stage(
  settings: Partial<DeliverySettings> = {},
  deadLetters: DeliveryOptions['deadLetters'] = null,
): Promise<Stage> {
  const time = new FakeTime();
  const peer = new PeerTransport(time);
  const troubles: string[] = [];
  const told: Event[] = [];
  const delivery = new Delivery({
    settings: { ...SETTINGS, ...settings },
    transport: peer,
    deadLetters,
    clock: time,
    pause: time.pause,
    random: () => 1,
    onTrouble: error => troubles.push(error.message),
  });
  const witness = {
    name: 'witness',
    whenFull: 'drop-and-mark' as const,
    write: (events: readonly Event[]) => void told.push(...events),
  };
  const bus = createBus({ clock: time, sinks: [delivery, witness] });
  return { bus, time, peer, delivery, troubles, told };
}

const allow = (bus: EventBus, many: number) => {
  for (let i = 0; i < many; i++) bus.emit(allowedBody());
};

test('every event is delivered once, in order, in batches no larger than the settings say', async () => {
  const { bus, peer } = await stage();
  allow(bus, 25);
  await bus.close();
  expect(peer.delivered.map(({ seq }) => seq)).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
  expect(Math.max(...peer.batches.map(({ length }) => length))).toBe(10);
});

test('events that came one by one within the wait leave together', async () => {
  const { bus, peer } = await stage({ waitMs: 200 });
  for (let i = 0; i < 5; i++) {
    allow(bus, 1);
    await new Promise(resolve => setImmediate(resolve));
  }
  expect(peer.batches).toHaveLength(0);
  await bus.close();
  expect(peer.batches.map(({ length }) => length)).toEqual([5]);
});

test('a refusal does not wait for others', async () => {
  const { bus, peer } = await stage({ waitMs: 1_000_000 });
  bus.emit(refusedBody());
  await peer.until(1);
  expect(peer.delivered).toHaveLength(1);
  await bus.close();
});

test('only what the filter wants is delivered', async () => {
  const { bus, peer } = await stage({ filter: event => event.seq % 2 === 0 });
  allow(bus, 6);
  await bus.close();
  expect(peer.delivered.map(({ seq }) => seq)).toEqual([2, 4, 6]);
});

test('while the peer is down the pauses double up to the longest, and the first trouble alone is told', async () => {
  const { bus, peer, time, delivery, troubles } = await stage();
  peer.downUntil(20_000);
  bus.emit(refusedBody());
  await peer.until(1);
  expect(time.pauses.slice(0, 6)).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(troubles).toEqual(['peer: it is down']);
  expect(delivery.failing).toBe(false);
  expect(peer.delivered).toHaveLength(1);
  await bus.close();
});

test('a pause is as long as the peer asks for, but never longer than the longest', async () => {
  const { bus, peer, time } = await stage({ mostPauseMs: 5_000 });
  peer.downUntil(1, { retryAfterMs: 3_000 });
  bus.emit(refusedBody());
  await peer.until(1);
  expect(time.pauses).toEqual([3_000]);
  peer.downUntil(time.monotonic() + 1, { retryAfterMs: 1e9 });
  bus.emit(refusedBody());
  await peer.until(2);
  expect(time.pauses).toEqual([3_000, 5_000]);
  await bus.close();
});

test('a peer down for a minute and back has every event once, and nothing is counted lost', async () => {
  const { bus, peer } = await stage({ giveUpMs: null });
  peer.downUntil(60_000);
  allow(bus, 500);
  await peer.until(500);
  await bus.close();
  expect(new Set(peer.delivered.map(({ seq }) => seq)).size).toBe(500);
  expect(peer.delivered).toHaveLength(500);
  expect(bus.counts).toMatchObject({ dropped: 0 });
  const [ours, witness] = bus.sinks;
  expect(ours?.delivery).toMatchObject({ delivered: 500, deadLettered: 0 });
  expect((ours?.delivery?.attempts ?? 0) - (ours?.delivery?.faults ?? 0)).toBe(peer.batches.length);
  expect(ours?.delivery?.faults).toBeGreaterThan(1);
  expect(witness?.delivery).toBeNull();
});

test('without a dead-letter file what is given up is counted, and told once the peer is back', async () => {
  const { bus, peer, told } = await stage({ giveUpMs: 1_000 });
  peer.downUntil(5_000);
  bus.emit(refusedBody());
  while (bus.counts.dropped === 0) await new Promise(resolve => setImmediate(resolve));
  peer.downUntil(0);
  bus.emit(refusedBody());
  await peer.until(1);
  await bus.close();
  const marks = told.filter(({ type }) => type === 'gateway.dropped');
  expect(marks).toHaveLength(1);
  expect(marks[0]?.gateway).toEqual({
    message: 'peer lost 1 events',
    detail: ['allowed 0', 'denied 1', 'seq 1 to 1'],
  });
});

test('what is given up lies in the dead-letter file as lines of the event log, 0600', async () => {
  const path = join(folder, 'dead.jsonl');
  const { bus, peer, delivery } = await stage({ giveUpMs: 1_000 }, await openDeadLetters(path, 1e6));
  peer.downUntil(Number.POSITIVE_INFINITY);
  allow(bus, 3);
  await bus.close();
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  expect(lines.map(line => JSON.parse(line).seq)).toEqual([1, 2, 3]);
  expect(delivery.counts).toMatchObject({ delivered: 0, deadLettered: 3 });
  expect(bus.counts.dropped).toBe(0);
});

test('a batch that the peer refuses for what is in it is not tried again', async () => {
  const path = join(folder, 'dead.jsonl');
  const { bus, peer, time } = await stage({}, await openDeadLetters(path, 1e6));
  peer.refuseOnce();
  bus.emit(refusedBody());
  await bus.close();
  expect(time.pauses).toEqual([]);
  expect(await readFile(path, 'utf8')).toContain('"seq":1');
});

test.each([
  ['full disk', '/dev/full', 1e6, /cannot be written: ENOSPC/],
  ['file as large as it may be', 'dead.jsonl', 10, /as large as it may be/],
])(
  'with a %s for dead letters events are counted lost, and the operator is told',
  async (_name, file, size, why) => {
    const letters = await openDeadLetters(join(file.startsWith('/') ? '/' : folder, file), size);
    const { bus, peer, troubles } = await stage({ giveUpMs: 100 }, letters);
    peer.downUntil(Number.POSITIVE_INFINITY);
    bus.emit(refusedBody());
    await bus.close();
    expect(bus.counts.dropped).toBeGreaterThanOrEqual(1);
    expect(troubles).toContainEqual(expect.stringMatching(why));
  },
);

test('with back-pressure `block` the bus is blocked while the peer is down, and not a moment longer', async () => {
  const { bus, peer, time } = await stage({ whenFull: 'block', giveUpMs: null });
  time.hold();
  peer.downUntil(1);
  bus.emit(refusedBody());
  while (!bus.blocked) await new Promise(resolve => setImmediate(resolve));
  time.release();
  await peer.until(1);
  expect(bus.blocked).toBe(false);
  await bus.close();
});

test('a peer that never answers holds nobody up: the queue is bounded, the loss is counted, closing comes to its end', async () => {
  const path = join(folder, 'dead.jsonl');
  const { bus, peer, told } = await stage({ giveUpMs: null }, await openDeadLetters(path, 1e9));
  peer.hang();
  allow(bus, 1_000);
  while (told.length < 1_000) await new Promise(resolve => setImmediate(resolve));
  const closing = new AbortController();
  const closed = bus.close(closing.signal);
  closing.abort();
  await closed;
  // Not one of them is gone: what could not be delivered in time was put aside.
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  expect(lines).toHaveLength(1_000);
});

test('a transport that throws is a fault like any other', async () => {
  const { bus, peer, troubles } = await stage();
  peer.throwOnce(Object.assign(new Error('x'), { code: 'ECONNRESET' }));
  bus.emit(refusedBody());
  await peer.until(1);
  expect(troubles).toEqual(['peer: it failed (ECONNRESET)']);
  await bus.close();
});

test('a sink that is fed from the spool leaves there what time ends, and has put aside what is given up', async () => {
  const path = join(folder, 'dead.jsonl');
  const settled: number[] = [];
  const time = new FakeTime();
  const peer = new PeerTransport(time);
  const delivery = new Delivery({
    settings: { ...SETTINGS, whenFull: 'spool', giveUpMs: 1_000 },
    transport: peer,
    deadLetters: await openDeadLetters(path, 1e6),
    clock: time,
    pause: time.pause,
    onTrouble: () => undefined,
  });
  delivery.attach({
    lost: () => undefined,
    delivered: events => settled.push(...events.map(({ seq }) => seq)),
    passed: () => undefined,
  });
  peer.downUntil(5_000);
  await delivery.write([numbered(refusedBody(), 1)]);
  while (settled.length === 0) await new Promise(resolve => setImmediate(resolve));
  expect([settled, time.monotonic() < 5_000]).toEqual([[1], true]);
  peer.hang();
  await delivery.write([numbered(refusedBody(), 2)]);
  delivery.giveUp();
  await delivery.close();
  expect(settled).toEqual([1]);
  expect(await readFile(path, 'utf8')).not.toContain('"seq":2');
});

test('a sink that is fed from the spool and wants few events does not stay where the last of them was', async () => {
  const place = { dir: join(folder, 'spool'), keyDir: join(folder, 'state'), clock: systemClock };
  const marks = async (
    gatewayId: string,
    wanted: number,
  ): Promise<readonly [number[], string | undefined]> => {
    const peer = new PeerTransport(new FakeTime());
    const delivery = new Delivery({
      settings: { ...SETTINGS, whenFull: 'spool', filter: ({ network }) => network?.port === wanted },
      transport: peer,
      deadLetters: null,
      clock: systemClock,
      onTrouble: () => undefined,
    });
    const store = await openSpool(place);
    const bus = createBus({ clock: systemClock, gatewayId, sinks: [delivery], store });
    for (let port = 1; port <= 50; port++) bus.emit(allowedBody({ port }));
    await bus.close(AbortSignal.timeout(10_000));
    const mark = await store.bookmark('peer').load();
    return [peer.delivered.map(({ network }) => network?.port ?? 0), mark?.from];
  };
  expect(await marks('aa', 0)).toEqual([[], 'aa-50']);
  expect(await marks('bb', 7)).toEqual([[7], 'bb-50']);
});
