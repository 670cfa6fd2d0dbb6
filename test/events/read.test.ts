import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeEvent } from '../../src/events/encode.js';
import { parseEvent } from '../../src/events/parse.js';
import { type BadLine, type ReadOptions, readEvents } from '../../src/events/read.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-read-'));
  path = join(folder, 'log');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const line = (seq: number) => encodeEvent(numbered(seq % 2 === 0 ? refusedBody() : allowedBody(), seq));
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => line(from + index)).join('');

async function seqs(options: ReadOptions = {}): Promise<number[]> {
  const seen: number[] = [];
  for await (const { seq } of readEvents(path, options)) seen.push(seq);
  return seen;
}

test('readEvents gives back every event of a log, across the pieces it reads by', async () => {
  await writeFile(path, lines(1, 3_000));
  expect(await seqs()).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 1));
});

test('readEvents leaves out a last line that is not whole', async () => {
  await writeFile(path, lines(1, 2) + line(3).slice(0, 40));
  expect(await seqs()).toEqual([1, 2]);
});

test('readEvents goes on after the event that it is told', async () => {
  await writeFile(path, lines(1, 5));
  expect(await seqs({ from: 'g1-3' })).toEqual([4, 5]);
});

test('readEvents says when there is no such event', async () => {
  await writeFile(path, lines(1, 5));
  await expect(seqs({ from: 'g1-9' })).rejects.toMatchObject({ code: 'CURSOR_UNKNOWN' });
});

test('readEvents names file and line of what holds no event, and not its text', async () => {
  await writeFile(path, `${lines(1, 2)}{"sk-live\n${line(3)}`);
  await expect(seqs()).rejects.toMatchObject({
    code: 'EVENTS_INVALID',
    message: `${path}:3: not one JSON value`,
  });
  const bad: BadLine[] = [];
  expect(await seqs({ onBadLine: fault => bad.push(fault) })).toEqual([1, 2, 3]);
  expect(bad).toEqual([{ file: path, line: 3, reason: 'not one JSON value' }]);
});

test('readEvents says that there is no such file', async () => {
  await expect(seqs()).rejects.toMatchObject({
    code: 'EVENTS_FAILED',
    message: expect.stringMatching(/ENOENT/),
  });
});

test('readEvents refuses a file without line feeds before it fills the memory', async () => {
  await writeFile(path, Buffer.alloc(5 * 1024 * 1024, 0x61));
  await expect(seqs()).rejects.toMatchObject({ code: 'EVENTS_INVALID' });
});

/** Follows the log while `steps` change it, each once the events before it were seen. */
async function followed(steps: readonly (() => Promise<void>)[], total: number): Promise<number[]> {
  const stop = new AbortController();
  const waiting = [...steps];
  const seen: number[] = [];
  for await (const { seq } of readEvents(path, { follow: true, signal: stop.signal })) {
    seen.push(seq);
    if (seen.length === total) stop.abort();
    else if (seq % 10 === 0) await waiting.shift()?.();
  }
  return seen;
}

test('readEvents follows a log that grows, a half line at a time', async () => {
  await writeFile(path, lines(1, 10));
  const grow = async (): Promise<void> => {
    await appendFile(path, line(11).slice(0, 30));
    setTimeout(() => void appendFile(path, line(11).slice(30)), 150);
  };
  expect(await followed([grow], 11)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

test('readEvents follows a log that is moved away, emptied, and made anew', async () => {
  await writeFile(path, lines(1, 10));
  const rotate = async (): Promise<void> => {
    await appendFile(path, lines(11, 12));
    await rename(path, `${path}.1`);
    await writeFile(path, lines(13, 20));
  };
  const empty = async (): Promise<void> => {
    await truncate(path);
    setTimeout(() => void appendFile(path, lines(21, 22)), 150);
  };
  expect(await followed([rotate, empty], 22)).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
});

test('readEvents ends when its signal fires, although nothing comes', async () => {
  await writeFile(path, '');
  expect(await seqs({ follow: true, signal: AbortSignal.timeout(30) })).toEqual([]);
});

const faults = [
  { name: 'a number', text: '7', says: 'not a JSON object' },
  { name: 'null', text: 'null', says: 'not a JSON object' },
  { name: 'a record of something else', text: '{"level":"info"}', says: 'no event: it has no version' },
  {
    name: 'an event of a newer version',
    text: JSON.stringify({ ...numbered(allowedBody(), 1), version: 2 }),
    says: 'of a newer version (2); this reader knows 1',
  },
  {
    name: 'an event whose host is a list',
    text: JSON.stringify({ ...numbered(allowedBody(), 1), network: { ...networkOf(), host: [] } }),
    says: 'network.host is not a string',
  },
  {
    name: 'an event without an id',
    text: JSON.stringify({ ...numbered(allowedBody(), 1), id: undefined }),
    says: 'id is not a string',
  },
];

for (const { name, text, says } of faults) {
  test(`parseEvent refuses ${name}`, () => {
    expect(parseEvent(text)).toEqual({ ok: false, error: says });
  });
}

test('parseEvent passes over what this version does not know', () => {
  const text = JSON.stringify({ ...numbered(allowedBody(), 1), type: 'moon.risen', later: 1 });
  expect(parseEvent(text)).toMatchObject({ ok: true, value: { type: 'moon.risen', seq: 1 } });
});
