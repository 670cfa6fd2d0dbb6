import { appendFile, chmod, mkdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventBody } from '../../../src/events/event.js';
import { eventsOf, idsOf, Place, setClock } from './support.js';

let place: Place;

beforeEach(async () => {
  place = await Place.make();
});

afterEach(() => place.remove());

test('what is written comes back in order, over segments and over runs', async () => {
  await place.run('aa', 1, 95, { segmentBytes: 10_000 });
  await place.run('bb', 1, 30);
  expect((await place.segments()).length).toBeGreaterThan(5);
  expect(await place.ids()).toEqual([...idsOf('aa', 1, 95), ...idsOf('bb', 1, 30)]);
  expect(await place.verify()).toMatchObject({ faults: [], notes: [], records: 125, n: 125, closed: true });
});

test('folder, segments, manifest and key are for the owner alone', async () => {
  await place.run('aa', 1, 10);
  for (const path of [place.dir, place.keyDir]) expect((await stat(path)).mode & 0o777).toBe(0o700);
  const [segment = ''] = await place.segments();
  const files = [join(place.dir, segment), join(place.dir, 'spool.json'), join(place.keyDir, 'key.pem')];
  for (const path of files) expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('a folder that others may enter is closed to them', async () => {
  await mkdir(place.dir);
  await chmod(place.dir, 0o777);
  await place.run('aa', 1, 1);
  expect((await stat(place.dir)).mode & 0o777).toBe(0o700);
});

test.each([
  ['the middle', 'aa-40', [...idsOf('aa', 41, 95), ...idsOf('bb', 1, 9)]],
  ['the end of a run', 'aa-95', idsOf('bb', 1, 9)],
  ['an event that was lost before it was written', 'aa-200', idsOf('bb', 1, 9)],
  ['the last', 'bb-9', []],
  ['the start', 'start', [...idsOf('aa', 1, 95), ...idsOf('bb', 1, 9)]],
])('reading goes on after %s', async (_name, from, want) => {
  await place.run('aa', 1, 95, { segmentBytes: 10_000 });
  await place.run('bb', 1, 9);
  expect(await place.ids(from)).toEqual(want);
});

test('reading from an event of an unknown gateway, or from no event, is an error', async () => {
  await place.run('aa', 1, 9);
  for (const from of ['zz-1', 'nonsense', '']) {
    await expect(place.ids(from)).rejects.toMatchObject({ code: 'CURSOR_UNKNOWN' });
  }
});

test('a place within a large segment is found by halving', async () => {
  const spool = await place.open();
  for (let seq = 1; seq <= 5_000; seq += 500) await spool.write(eventsOf('aa', seq, seq + 499));
  await spool.close?.();
  for (const seq of [1, 2, 999, 2_500, 4_999]) {
    expect(await place.ids(`aa-${seq}`)).toEqual(idsOf('aa', seq + 1, 5_000));
  }
});

test('a second writer is refused while the first lives, and not after', async () => {
  const first = await place.open();
  await expect(place.open()).rejects.toMatchObject({ code: 'SPOOL_LOCKED' });
  await first.close?.();
  await (await place.open()).close?.();
});

test('a spool of a newer format is refused with a sentence, and left as it is', async () => {
  await place.run('aa', 1, 9);
  const path = join(place.dir, 'spool.json');
  const newer = (await readFile(path, 'utf8')).replace('"format":1', '"format":7');
  await writeFile(path, newer);
  const refusal = {
    code: 'SPOOL_INVALID',
    message: expect.stringMatching(/of format 7, .* knows 1: update it/),
  };
  await expect(place.open()).rejects.toMatchObject(refusal);
  await expect(place.ids()).rejects.toMatchObject(refusal);
  await expect(place.verify()).rejects.toMatchObject(refusal);
  expect(await readFile(path, 'utf8')).toBe(newer);
});

test.each([
  [
    'a folder that holds other things',
    async () => void (await writeFile(join(place.dir, 'thesis.doc'), '')),
    /other things/,
  ],
  [
    'a spool that another key began',
    async () => {
      await place.run('aa', 1, 1);
      await rm(place.keyDir, { recursive: true });
    },
    /another key/,
  ],
  [
    'a manifest that is none',
    async () => void (await writeFile(join(place.dir, 'spool.json'), '{}')),
    /not one that sallyport wrote/,
  ],
  [
    'a key that others can read',
    async () => {
      await place.run('aa', 1, 1);
      await chmod(join(place.keyDir, 'key.pem'), 0o644);
    },
    /chmod 600/,
  ],
])('%s is refused', async (_name, make, says) => {
  await mkdir(place.dir, { recursive: true });
  await make();
  await expect(place.open()).rejects.toMatchObject({
    code: 'SPOOL_INVALID',
    message: expect.stringMatching(says),
  });
});

test('a symbolic link in the place of the folder is refused', async () => {
  await mkdir(join(place.root, 'elsewhere'));
  await symlink(join(place.root, 'elsewhere'), place.dir);
  await expect(place.open()).rejects.toMatchObject({ code: 'SPOOL_INVALID' });
});

/** What the spool tells of itself when it is opened. */
async function told(): Promise<EventBody[]> {
  const facts: EventBody[] = [];
  const spool = await place.open();
  spool.tellTo(fact => void facts.push(fact));
  await spool.write(eventsOf('zz', 1, 3));
  await spool.close?.();
  return facts;
}

test('a record that a crash cut short is cut off, told, and the chain goes on', async () => {
  await place.run('aa', 1, 20);
  const [segment = ''] = await place.segments();
  await appendFile(join(place.dir, segment), '{"n":21,"prev":"half of a rec');
  expect(await told()).toMatchObject([
    {
      type: 'spool.recovered',
      gateway: { detail: [expect.stringMatching(/^29 bytes .* after record 20$/)] },
    },
  ]);
  expect(await place.ids()).toEqual([...idsOf('aa', 1, 20), ...idsOf('zz', 1, 3)]);
  expect(await place.verify()).toMatchObject({ faults: [], records: 23 });
});

test('a segment that a crash left without a whole line is removed, told, and the chain goes on', async () => {
  await place.run('aa', 1, 20);
  await writeFile(join(place.dir, '00000002-000000000021-bb-000000000001.jsonl'), '{"segment":2,"for');
  expect(await told()).toMatchObject([{ gateway: { detail: [expect.stringMatching(/no whole line/)] } }]);
  expect(await place.verify()).toMatchObject({ faults: [], records: 23 });
});

test('records that were signed and are gone are told at the next start', async () => {
  await place.run('aa', 1, 20);
  const path = join(place.dir, (await place.segments())[0] ?? '');
  const text = await readFile(path, 'latin1');
  await truncate(path, text.indexOf('{"n":11,'));
  expect(await told()).toMatchObject([
    {
      type: 'spool.recovered',
      gateway: { detail: ['records 11 to 20 were signed by this machine and are gone'] },
    },
  ]);
});

test('a spool that was closed has nothing to tell', async () => {
  await place.run('aa', 1, 20);
  expect(await told()).toEqual([]);
});

test('the oldest segments go when there is too much, with a word, and what is left verifies', async () => {
  const facts: EventBody[] = [];
  const spool = await place.open({ segmentBytes: 10_000, keep: { maxBytes: 30_000 } });
  spool.tellTo(fact => void facts.push(fact));
  for (let seq = 1; seq <= 200; seq += 10) await spool.write(eventsOf('aa', seq, seq + 9));
  await spool.close?.();
  expect((await place.segments()).length).toBeLessThanOrEqual(5);
  expect(facts[0]).toMatchObject({
    type: 'spool.trimmed',
    gateway: { detail: [expect.stringMatching(/^records 1 to \d+$/)] },
  });
  const ids = await place.ids();
  expect(ids.at(-1)).toBe('aa-200');
  expect(await place.verify()).toMatchObject({ faults: [], notes: [], records: ids.length, n: 200 });
  await expect(place.ids('aa-1')).rejects.toMatchObject({ code: 'CURSOR_UNKNOWN' });
});

test('segments go when they are too old, and a clock that jumps makes none so', async () => {
  const hour = 3_600_000;
  const clock = setClock(1_700_000_000_000);
  const spool = await place.open({ clock, segmentBytes: 1, keep: { maxAgeMs: 10 * hour } });
  for (let seq = 1; seq <= 3; seq++) {
    await spool.write(eventsOf('aa', seq, seq));
    clock.mono += hour;
    clock.wall += seq === 1 ? 1_000 * hour : -900 * hour; // What somebody does to the wall clock is nothing to it.
  }
  await spool.write(eventsOf('aa', 4, 4));
  expect(await place.ids()).toEqual(idsOf('aa', 1, 4));
  clock.mono += 11 * hour;
  await spool.write(eventsOf('aa', 5, 5));
  await spool.close?.();
  expect(await place.ids()).toEqual(idsOf('aa', 4, 5));
});

test.each(['always', 'interval', 'none'] as const)(
  'with fsync %s what is closed was acknowledged',
  async fsync => {
    const acknowledged: string[] = [];
    const spool = await place.open({ fsync, onAcknowledged: (n, id) => acknowledged.push(`${n} ${id}`) });
    await spool.write(eventsOf('aa', 1, 10));
    expect(acknowledged).toEqual(fsync === 'interval' ? [] : ['10 aa-10']);
    await spool.close?.();
    expect(acknowledged.at(-1)).toBe('10 aa-10');
  },
);

test('with fsync interval what was written is signed and acknowledged without a close', async () => {
  const acknowledged = await new Promise<string>(resolve => {
    void place.open({ onAcknowledged: (_n, id) => resolve(id) }).then(async spool => {
      await spool.write(eventsOf('aa', 1, 10));
      setTimeout(() => void spool.close?.(), 1_000);
    });
  });
  expect(acknowledged).toBe('aa-10');
  await new Promise(resolve => setTimeout(resolve, 1_100));
  expect(await place.verify()).toMatchObject({ faults: [], signed: 10 });
});

test('a live reader gets what is written while it reads, over the end of segments, and ends with the spool', async () => {
  const spool = await place.open({ segmentBytes: 5_000 });
  await spool.write(eventsOf('aa', 1, 10));
  const seen: string[] = [];
  const reading = (async () => {
    for await (const batch of spool.read({ from: 'aa-5' })) seen.push(...batch.map(({ id }) => id));
  })();
  for (let seq = 11; seq <= 100; seq += 10) {
    await spool.write(eventsOf('aa', seq, seq + 9));
    await new Promise(setImmediate);
  }
  await spool.close?.();
  await reading;
  expect(seen).toEqual(idsOf('aa', 6, 100));
});

test('a reader ends when its signal fires, although nothing comes', async () => {
  const spool = await place.open();
  const seen: unknown[] = [];
  for await (const batch of spool.read({ from: 'end', signal: AbortSignal.timeout(30) })) seen.push(batch);
  expect(seen).toEqual([]);
  await spool.close?.();
});
