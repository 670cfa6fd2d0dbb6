import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/core/clock.js';
import { createBus, type EventBus, type EventQuery } from '../../src/events/bus.js';
import type { Event } from '../../src/events/event.js';
import type { Sink, SinkKeeper } from '../../src/events/feeder.js';
import { allowedBody, refusedBody } from '../support/events.js';
import { Place } from './spool/support.js';

const clock = systemClock;
let place: Place;

beforeEach(async () => {
  place = await Place.make();
});

afterEach(() => place.remove());

function emit(bus: EventBus, count: number): void {
  for (let i = 0; i < count; i++) bus.emit(allowedBody());
}

async function seqs(bus: EventBus, query: EventQuery, most = Number.POSITIVE_INFINITY): Promise<number[]> {
  const seen: number[] = [];
  for await (const { seq } of bus.read(query)) {
    seen.push(seq);
    if (seen.length === most) break;
  }
  return seen;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

test('events() gives every event from the call on, in order, and ends with the bus', async () => {
  const bus = createBus({ clock });
  emit(bus, 3);
  const reading = seqs(bus, {});
  emit(bus, 5);
  await delay(1);
  emit(bus, 2);
  await bus.close();
  expect(await reading).toEqual(range(4, 10));
});

test('events() gives what its filter lets through', async () => {
  const bus = createBus({ clock });
  const reading = seqs(bus, { filter: ({ type }) => type === 'request.refused' });
  for (let i = 0; i < 6; i++) bus.emit(i % 3 === 0 ? refusedBody() : allowedBody());
  await bus.close();
  expect(await reading).toEqual([1, 4]);
});

test('events() ends when its signal fires, and when its reader leaves', async () => {
  const bus = createBus({ clock });
  const stop = new AbortController();
  const reading = seqs(bus, { signal: stop.signal });
  const leaving = seqs(bus, {}, 2);
  emit(bus, 4);
  expect(await leaving).toEqual([1, 2]);
  stop.abort();
  await reading;
  await bus.close();
});

test('a reader that never reads costs nobody anything, and what it lost is told', async () => {
  const events: Event[] = [];
  const sink: Sink = { name: 'all', whenFull: 'block', write: batch => void events.push(...batch) };
  const bus = createBus({ clock, sinks: [sink] });
  const idle = bus.read()[Symbol.asyncIterator]();
  const slow = bus.read()[Symbol.asyncIterator]();
  for (let round = 0; round < 40; round++) {
    emit(bus, 1_000);
    await delay(0);
  }
  expect(bus.blocked).toBe(false);
  // It comes back, reads what was kept for it, and everybody learns what was not.
  for (let seq = 1; seq <= 300; seq++) expect((await slow.next()).value?.seq).toBe(seq);
  await bus.close();
  expect(events.filter(({ type }) => type === 'request.done')).toHaveLength(40_000);
  expect(events.find(({ type }) => type === 'gateway.dropped')?.gateway?.message).toMatch(
    /^a reader lost \d+ events$/,
  );
  await idle.return?.();
});

test('without a spool an earlier event cannot be gone back to, and that is said', () => {
  const bus = createBus({ clock });
  emit(bus, 3);
  expect(() => bus.read({ from: 'local-1' })).toThrow(/without a spool/);
});

test('with a spool a reader goes on after the event that it names, through what is still to come', async () => {
  const bus = createBus({ clock, gatewayId: 'aa', store: await place.open() });
  emit(bus, 1_000);
  const late = seqs(bus, { from: 'aa-990' });
  const now = seqs(bus, {});
  const all = seqs(bus, { from: 'start' });
  emit(bus, 500);
  await bus.close();
  expect(await late).toEqual(range(991, 1_500));
  expect(await now).toEqual(range(1_001, 1_500));
  expect(await all).toEqual(range(1, 1_500));
});

test('with a spool a reader of another run goes on where it was', async () => {
  const before = createBus({ clock, gatewayId: 'aa', store: await place.open() });
  emit(before, 20);
  await before.close();
  const bus = createBus({ clock, gatewayId: 'bb', store: await place.open() });
  emit(bus, 3);
  const reading: string[] = [];
  for await (const { id } of bus.read({ from: 'aa-18' })) {
    reading.push(id);
    if (id === 'bb-3') break;
  }
  await bus.close();
  expect(reading).toEqual(['aa-19', 'aa-20', 'bb-1', 'bb-2', 'bb-3']);
});

test('with a spool a reader that is slow loses nothing, and nobody waits for it', async () => {
  const bus = createBus({ clock, gatewayId: 'aa', store: await place.open({ segmentBytes: 200_000 }) });
  const slow = bus.read({ from: 'start' })[Symbol.asyncIterator]();
  for (let round = 0; round < 20; round++) {
    emit(bus, 500);
    await delay(0);
  }
  await bus.close();
  const seen: number[] = [];
  for (let next = await slow.next(); !next.done; next = await slow.next()) seen.push(next.value.seq);
  expect(seen).toEqual(range(1, 10_000));
});

interface Fed extends Sink {
  readonly ids: string[];
}

function fed(differs: Partial<Sink> = {}): Fed {
  const ids: string[] = [];
  const write = async (batch: readonly Event[]): Promise<void> => {
    await delay(1);
    ids.push(...batch.map(({ id }) => id));
  };
  return { name: 'slow', whenFull: 'spool', write, ids, ...differs };
}

test('a sink that said spool is fed from there: slow, it loses nothing and blocks nobody', async () => {
  const sink = fed();
  const bus = createBus({ clock, gatewayId: 'aa', sinks: [sink], store: await place.open() });
  for (let round = 0; round < 10; round++) {
    emit(bus, 1_000);
    await delay(0);
  }
  expect(bus.blocked).toBe(false);
  await bus.close();
  expect(sink.ids).toEqual(range(1, 10_000).map(seq => `aa-${seq}`));
  expect(bus.counts.dropped).toBe(0);
});

test('a sink that said spool goes on after a restart with what it was not done with', async () => {
  let keeper: SinkKeeper | null = null;
  const taken: Event[] = [];
  const own: Partial<Sink> = {
    attach: given => {
      keeper = given;
    },
    write: async batch => void taken.push(...batch),
  };
  const first = createBus({ clock, gatewayId: 'aa', sinks: [fed(own)], store: await place.open() });
  emit(first, 10);
  while (taken.length < 10) await delay(5);
  (keeper as SinkKeeper | null)?.delivered(taken.slice(0, 7));
  await first.close();
  const sink = fed();
  const second = createBus({ clock, gatewayId: 'bb', sinks: [sink], store: await place.open() });
  emit(second, 2);
  await second.close();
  expect(sink.ids).toEqual(['aa-8', 'aa-9', 'aa-10', 'bb-1', 'bb-2']);
});

test('a sink that said spool begins with the run in which it is first named', async () => {
  await place.run('aa', 1, 20);
  const sink = fed();
  const bus = createBus({ clock, gatewayId: 'bb', sinks: [sink], store: await place.open() });
  emit(bus, 2);
  await bus.close();
  expect(sink.ids).toEqual(['bb-1', 'bb-2']);
});

test('what the spool removed before a sink was fed is told, and the sink goes on', async () => {
  const first = createBus({ clock, gatewayId: 'aa', sinks: [fed()], store: await place.open() });
  emit(first, 1);
  await first.close();
  await place.run('bb', 1, 200, { segmentBytes: 5_000, keep: { maxBytes: 20_000 } });
  const sink = fed();
  const all = fed({ name: 'all', whenFull: 'drop-and-mark' });
  const told: Event[] = [];
  const bus = createBus({ clock, gatewayId: 'cc', sinks: [sink, all], store: await place.open() });
  bus.subscribe(event => told.push(event));
  emit(bus, 1);
  while (!sink.ids.includes('cc-1')) await delay(5);
  await bus.close();
  expect(sink.ids[0]).toMatch(/^bb-1\d\d$/);
  const lost = Number(sink.ids[0]?.slice(3)) - 1;
  const dropped = told.find(({ type }) => type === 'gateway.dropped');
  expect(dropped?.gateway?.message).toBe(`slow lost ${lost} events`);
  expect(bus.counts.dropped).toBe(lost);
});

test('what the spool removed of the run in which a sink was first named is told too', async () => {
  const abort = new AbortController();
  const hang = (): Promise<void> =>
    new Promise((_resolve, reject) => abort.signal.addEventListener('abort', () => reject(new Error('x'))));
  const bounds = { segmentBytes: 5_000, keep: { maxBytes: 20_000 } };
  await place.run('zz', 1, 10);
  const hangs = fed({ write: hang, giveUp: () => abort.abort() });
  const first = createBus({ clock, gatewayId: 'aa', sinks: [hangs], store: await place.open(bounds) });
  for (let round = 0; round < 20; round++) {
    emit(first, 10);
    await delay(2);
  }
  await first.close(AbortSignal.timeout(50));
  const sink = fed();
  const bus = createBus({ clock, gatewayId: 'bb', sinks: [sink], store: await place.open() });
  emit(bus, 1);
  while (!sink.ids.includes('bb-1')) await delay(5);
  await bus.close();
  // What run aa had, less what came: its own events and what the spool said of itself.
  const kept = sink.ids.filter(id => id.startsWith('aa-'));
  const lost = Number(kept[0]?.slice(3)) - 1;
  expect(lost).toBeGreaterThan(0);
  expect(bus.counts.dropped).toBe(lost);
});

test('a bookmark without a count, as earlier versions left it, is gone on from', async () => {
  const first = createBus({ clock, gatewayId: 'aa', sinks: [fed()], store: await place.open() });
  emit(first, 5);
  await first.close();
  const [file = ''] = await readdir(join(place.dir, 'cursors'));
  await writeFile(join(place.dir, 'cursors', file), 'aa-3\n');
  const sink = fed();
  const bus = createBus({ clock, gatewayId: 'bb', sinks: [sink], store: await place.open() });
  emit(bus, 1);
  await bus.close();
  expect(sink.ids).toEqual(['aa-4', 'aa-5', 'bb-1']);
});

test.each(['can be told', 'cannot be told'])(
  'a sink that said spool, hangs and %s keeps the gateway from nothing, least from ending',
  async kind => {
    const abort = new AbortController();
    const hang = (): Promise<void> =>
      new Promise((_resolve, reject) =>
        abort.signal.addEventListener('abort', () => reject(new Error('given up'))),
      );
    const told = kind === 'can be told' ? { giveUp: () => abort.abort() } : {};
    const hangs = fed({ write: hang, ...told });
    const bus = createBus({ clock, gatewayId: 'aa', sinks: [hangs], store: await place.open() });
    emit(bus, 100);
    await delay(20);
    expect(bus.blocked).toBe(false);
    await bus.close(AbortSignal.timeout(100));
    expect(await place.ids()).toHaveLength(100);
    // Nothing was delivered, so nothing is lost: the next run hands it over.
    const sink = fed();
    const next = createBus({ clock, gatewayId: 'bb', sinks: [sink], store: await place.open() });
    emit(next, 1);
    await next.close();
    expect([bus.counts.dropped, sink.ids]).toEqual([0, [...range(1, 100).map(seq => `aa-${seq}`), 'bb-1']]);
  },
);

test('a sink cannot say spool where there is none', () => {
  expect(() => createBus({ clock, sinks: [fed()] })).toThrow(/needs a spool/);
});
