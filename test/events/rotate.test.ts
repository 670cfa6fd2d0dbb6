import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Event } from '../../src/events/event.js';
import { type FileSinkOptions, openFileSink } from '../../src/events/file-sink.js';
import { rotateAway } from '../../src/events/rotate.js';
import { numbered, refusedBody } from '../support/events.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-rotate-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const at = (name: string) => join(folder, name);
let ms = 0;
const clock = { now: () => ms, monotonic: () => ms };
const deny = (seq: number) => numbered(refusedBody(), seq);

async function seqs(name: string): Promise<number[]> {
  const lines = (await readFile(at(name), 'utf8')).split('\n').filter(line => line !== '');
  return lines.map(line => (JSON.parse(line) as Event).seq);
}

async function written(rotate: FileSinkOptions['rotate'], many: number, between?: () => void): Promise<void> {
  const sink = await openFileSink({ path: at('log'), clock, ...(rotate && { rotate }) });
  for (let seq = 1; seq <= many; seq++) {
    await sink.write([deny(seq)]);
    between?.();
  }
  await sink.close?.();
}

test('a log that is as large as it may be is moved aside before the next line, and no line is parted', async () => {
  await written({ bytes: 1_000, ageMs: null, keep: 10 }, 12);
  const names = (await readdir(folder)).sort();
  expect(names.length).toBeGreaterThan(2);
  const all = await Promise.all(names.map(seqs));
  expect(all.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  // The highest number is the oldest.
  expect((await seqs(`log.${names.length - 1}`))[0]).toBe(1);
  for (const name of names) expect((await stat(at(name))).mode & 0o777).toBe(0o600);
});

test('a log that is as old as it may be is moved aside', async () => {
  await written({ bytes: null, ageMs: 60_000, keep: 10 }, 3, () => {
    ms += 60_000;
  });
  expect(await Promise.all(['log', 'log.1', 'log.2'].map(seqs))).toEqual([[3], [2], [1]]);
});

test('no more old logs are kept than the rule says: the oldest goes', async () => {
  await written({ bytes: 1, ageMs: null, keep: 2 }, 6);
  expect((await readdir(folder)).sort()).toEqual(['log', 'log.1', 'log.2']);
  expect(await Promise.all(['log', 'log.1', 'log.2'].map(seqs))).toEqual([[6], [5], [4]]);
});

test('what another run wrote counts towards the size', async () => {
  await writeFile(at('log'), `${'x'.repeat(999)}\n`, { mode: 0o600 });
  await written({ bytes: 1_000, ageMs: null, keep: 10 }, 1);
  expect(await seqs('log')).toEqual([1]);
  expect((await readFile(at('log.1'), 'utf8')).length).toBe(1_000);
});

test('rotateAway goes on over a gap that a crash left in the numbers', async () => {
  for (const name of ['log', 'log.1', 'log.3']) await writeFile(at(name), name);
  await rotateAway(at('log'), 5);
  const found = await Promise.all((await readdir(folder)).sort().map(name => readFile(at(name), 'utf8')));
  expect(found.sort()).toEqual(['log', 'log.1', 'log.3']);
  expect(await readFile(at('log.1'), 'utf8')).toBe('log');
});

test('a log that cannot be moved aside goes on where it is, and the operator is told', async () => {
  await mkdir(at('log.1/in-the-way'), { recursive: true });
  const troubles: string[] = [];
  const sink = await openFileSink({
    path: at('log'),
    clock,
    rotate: { bytes: 1, ageMs: null, keep: 1 },
    onTrouble: error => troubles.push(error.message),
  });
  await sink.write([deny(1)]);
  await sink.write([deny(2)]);
  await sink.close?.();
  expect(await seqs('log')).toEqual([1, 2]);
  expect(troubles[0]).toMatch(/cannot be rotated: /);
});
