import { appendFile, copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { Place } from './support.js';

let place: Place;

beforeEach(async () => {
  place = await Place.make();
  await place.run('aa', 1, 95, { segmentBytes: 20_000 });
  await place.run('bb', 1, 20);
});

afterEach(() => place.remove());

type Attack = (lines: string[]) => string[];

const attacks: [name: string, change: Attack, line: number, what: RegExp][] = [
  [
    'a record that is changed',
    lines => lines.with(5, (lines[5] ?? '').replace('allowed.test', 'innocent.test')),
    7,
    /does not follow/,
  ],
  [
    'one letter of a hash that is changed',
    lines => lines.with(5, flip(lines[5] ?? '')),
    6,
    /does not follow/,
  ],
  ['a record that is cut out', lines => lines.toSpliced(5, 1), 6, /does not follow/],
  [
    'two records that change places',
    lines => lines.with(5, lines[6] ?? '').with(6, lines[5] ?? ''),
    6,
    /does not follow/,
  ],
  ['a record that is put in twice', lines => lines.toSpliced(5, 0, lines[5] ?? ''), 7, /does not follow/],
  ['a line of something else', lines => lines.toSpliced(5, 0, '{"level":"info"}'), 6, /no line of a spool/],
  ['a head that is gone', lines => lines.slice(1), 1, /does not follow/],
  [
    'a head with another time',
    lines => lines.with(0, (lines[0] ?? '').replace(/"timestamp":1/, '"timestamp":2')),
    1,
    /signature/,
  ],
  ['records that are gone from the end', lines => lines.slice(0, -4), 1, /does not follow/],
];

for (const [name, change, line, what] of attacks) {
  test(`verify finds ${name}, and says where`, async () => {
    expect((await place.segments()).length).toBeGreaterThan(3);
    await place.tamper(1, change);
    const { faults } = await place.verify();
    const files = await place.segments();
    // What is taken from the end of a segment shows at the beginning of the next.
    const at = name.endsWith('the end') ? 2 : 1;
    expect(faults[0]).toEqual({ file: files[at], line, what: expect.stringMatching(what) });
  });
}

function flip(line: string): string {
  const at = line.indexOf('"prev":"') + 8;
  return `${line.slice(0, at)}${line[at] === 'x' ? 'y' : 'x'}${line.slice(at + 1)}`;
}

test('verify finds a segment that is gone, from the middle and from the beginning', async () => {
  const files = await place.segments();
  await rename(join(place.dir, files[2] ?? ''), join(place.root, 'kept'));
  expect((await place.verify()).faults[0]).toMatchObject({
    file: files[3],
    line: 0,
    what: expect.stringMatching(/missing/),
  });
  await rename(join(place.root, 'kept'), join(place.dir, files[2] ?? ''));
  await rm(join(place.dir, files[0] ?? ''));
  expect((await place.verify()).faults[0]).toMatchObject({
    file: files[1],
    line: 0,
    what: expect.stringMatching(/missing/),
  });
});

test('verify finds a segment under another name', async () => {
  const files = await place.segments();
  const last = files.at(-1) ?? '';
  await rename(join(place.dir, last), join(place.dir, last.replace('-bb-', '-cc-')));
  expect((await place.verify()).faults[0]).toMatchObject({
    line: 1,
    what: expect.stringMatching(/the name of the file/),
  });
});

test('verify finds all segments gone', async () => {
  for (const file of await place.segments()) await rm(join(place.dir, file));
  expect((await place.verify()).faults).not.toEqual([]);
});

test.each([
  ['the last records and every signature behind them', 8],
  ['the note that it was closed', 1],
])('verify finds, by the anchor, that the tail was cut off: %s', async (_name, count) => {
  await place.tamper(-1 + (await place.segments()).length, lines => lines.slice(0, -count));
  const { faults } = await place.verify();
  expect(faults).toEqual([
    { file: expect.any(String), line: 0, what: expect.stringMatching(/tail was cut off/) },
  ]);
});

test('verify finds, by the anchor, that the last segment was removed', async () => {
  await rm(join(place.dir, (await place.segments()).at(-1) ?? ''));
  expect((await place.verify()).faults).toMatchObject([{ what: expect.stringMatching(/tail was cut off/) }]);
});

test('on another machine a head that was noted finds a cut tail, and the key is said to be nobody’s', async () => {
  const elsewhere = join(place.root, 'elsewhere');
  const { hash, key } = await place.verify();
  expect(await place.verify({ keyDir: elsewhere })).toMatchObject({
    faults: [],
    notes: [expect.stringMatching(/--key/)],
  });
  expect(await place.verify({ keyDir: elsewhere, key, expect: hash })).toMatchObject({
    faults: [],
    notes: [],
  });
  await rm(join(place.dir, (await place.segments()).at(-1) ?? ''));
  expect((await place.verify({ keyDir: elsewhere, key })).faults).toEqual([]);
  expect((await place.verify({ keyDir: elsewhere, key, expect: hash })).faults).toHaveLength(1);
});

test('a spool that somebody made anew with another key is not taken for the old one', async () => {
  const other = await Place.make();
  await other.run('aa', 1, 95);
  for (const file of await place.segments()) await rm(join(place.dir, file));
  const [file = ''] = await other.segments();
  for (const name of [file, 'spool.json']) await copyFile(join(other.dir, name), join(place.dir, name));
  const { faults } = await place.verify();
  expect(faults.map(({ what }) => what)).toContain('the signature is not that of the key');
  await other.remove();
});

test('a manifest that says that more was removed is not believed', async () => {
  const path = join(place.dir, 'spool.json');
  await writeFile(path, (await readFile(path, 'utf8')).replace('"segment":1', '"segment":2'));
  await rm(join(place.dir, (await place.segments())[0] ?? ''));
  expect((await place.verify()).faults[0]).toEqual({
    file: 'spool.json',
    line: 1,
    what: expect.stringMatching(/signature/),
  });
});

test('a line that is being written is no fault, and is told', async () => {
  await appendFile(join(place.dir, (await place.segments()).at(-1) ?? ''), '{"n":116,');
  const { faults, notes } = await place.verify();
  expect([faults, notes]).toEqual([[], [expect.stringMatching(/no whole line/)]]);
});

test('verify finds whatever bit is turned over, in whatever file of the spool', async () => {
  const files = [...(await place.segments()), 'spool.json'];
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(7), async (which, where, bit) => {
      const path = join(place.dir, files[which % files.length] ?? '');
      const bytes = await readFile(path);
      // The line feed at the end of a manifest is not signed; without it the file says the same.
      const at = where % (bytes.length - 1);
      const before = Buffer.from(bytes);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      await writeFile(path, bytes);
      const found = await place.verify().then(
        ({ faults }) => faults.length > 0,
        () => true, // A manifest that is none any more is refused.
      );
      await writeFile(path, before);
      expect([at, bit, found]).toEqual([at, bit, true]);
    }),
    { seed: 20_261_127, numRuns: 150 },
  );
});
