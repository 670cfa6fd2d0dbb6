import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import {
  appendFile,
  chmod,
  link,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '../../src/core/clock.js';
import type { Event } from '../../src/events/event.js';
import { openFileSink } from '../../src/events/file-sink.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-events-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const clock = systemClock;
const at = (name: string) => join(folder, name);
const allow = (seq: number) => numbered(allowedBody(), seq);

async function seqs(path: string): Promise<number[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter(line => line !== '');
  return lines.map(line => (JSON.parse(line) as Event).seq);
}

test('the log is made 0600 and holds one line for each event, flushed on close', async () => {
  const path = at('log');
  const sink = await openFileSink({ path, clock });
  await sink.write([allow(1), allow(2)]);
  await sink.write([allow(3)]);
  await sink.close?.();
  expect(await seqs(path)).toEqual([1, 2, 3]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('an event that allows is written soon, without a close', async () => {
  const path = at('log');
  const sink = await openFileSink({ path, clock });
  await sink.write([allow(1)]);
  while ((await seqs(path)).length === 0) await delay(5);
  await sink.close?.();
});

test('lines that come while others are on their way wait for the next time, and are not written one by one', async () => {
  const sink = await openFileSink({ path: at('log'), clock });
  const other = await open(at('other'), 'w');
  const writes = jest.spyOn(Object.getPrototypeOf(other), 'write');
  await other.close();
  const start = performance.now();
  let seq = 0;
  while (performance.now() - start < 300) {
    await sink.write([allow(++seq)]);
    await nextTurn();
  }
  const elapsed = performance.now() - start;
  await sink.close?.();
  const { length } = writes.mock.calls;
  writes.mockRestore();
  expect(await seqs(at('log'))).toHaveLength(seq);
  expect(seq).toBeGreaterThan(200);
  // Every 50 ms or 256 KiB at the most; and once more, on close.
  const { size } = await stat(at('log'));
  expect(length).toBeLessThanOrEqual(elapsed / 50 + size / 262_144 + 2);
});

test('an event that refuses is on record when write resolves, also while others are on their way', async () => {
  const path = at('log');
  const sink = await openFileSink({ path, clock });
  const earlier = sink.write([numbered(refusedBody(), 1)]);
  await nextTurn();
  await Promise.all([sink.write([numbered(refusedBody(), 2)]), sink.write([numbered(refusedBody(), 3)])]);
  expect(await seqs(path)).toEqual([1, 2, 3]);
  await earlier;
  await sink.close?.();
});

test('an event that refuses is on record when write resolves', async () => {
  const path = at('log');
  const sink = await openFileSink({ path, clock });
  await sink.write([allow(1), numbered(refusedBody(), 2)]);
  expect(await seqs(path)).toEqual([1, 2]);
  await sink.close?.();
});

test('a log that exists is continued, and its mode is tightened', async () => {
  const path = at('log');
  await writeFile(path, '{"seq":1}\n');
  await chmod(path, 0o644);
  const sink = await openFileSink({ path, clock });
  await sink.write([allow(2)]);
  await sink.close?.();
  expect(await seqs(path)).toEqual([1, 2]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('after a crash in the middle of a line the next start begins on a new one', async () => {
  const path = at('log');
  await writeFile(path, '{"seq":1}\n{"seq":2,"ty');
  const sink = await openFileSink({ path, clock });
  await sink.write([allow(3)]);
  await sink.close?.();
  const lines = (await readFile(path, 'utf8')).split('\n');
  expect(lines[1]).toBe('{"seq":2,"ty');
  expect(JSON.parse(lines[2] ?? '')).toMatchObject({ seq: 3 });
});

const refusals = [
  { name: 'a symbolic link', make: (path: string) => symlink(at('other'), path), says: /symbolic link/ },
  {
    name: 'a file with a second name',
    make: async (path: string) => {
      await writeFile(at('other'), '');
      await link(at('other'), path);
    },
    says: /hard link/,
  },
  { name: 'a folder', make: async (path: string) => void execFileSync('mkdir', [path]), says: /folder/ },
  {
    name: 'a pipe that nobody reads',
    make: async (path: string) => void execFileSync('mkfifo', [path]),
    says: /pipe/,
  },
];

for (const { name, make, says } of refusals) {
  test(`the log is not written to ${name}, and the error says so`, async () => {
    await make(at('log'));
    await expect(openFileSink({ path: at('log'), clock })).rejects.toMatchObject({
      code: 'EVENTS_FAILED',
      message: expect.stringMatching(says),
    });
  });
}

test('a log in a folder that does not exist is an error that says so', async () => {
  await expect(openFileSink({ path: at('none/log'), clock })).rejects.toThrow(/its folder does not exist/);
});

test('a log that was moved away is made anew, without a signal', async () => {
  const path = at('log');
  let now = 0;
  const sink = await openFileSink({ path, clock: { now: () => 0, monotonic: () => now } });
  await sink.write([numbered(refusedBody(), 1)]);
  await rename(path, at('log.1'));
  now += 2_000;
  await sink.write([numbered(refusedBody(), 2)]);
  await sink.close?.();
  expect([await seqs(at('log.1')), await seqs(path)]).toEqual([[1], [2]]);
});

test('a disk that is full is reported once, and the sink says that it fails', async () => {
  const troubles: string[] = [];
  const sink = await openFileSink({
    path: '/dev/full',
    clock,
    onTrouble: error => troubles.push(error.message),
  });
  const written = Promise.resolve(sink.write([numbered(refusedBody(), 1)]));
  const outcome = expect(written).rejects.toMatchObject({ code: 'EVENTS_FAILED' });
  while (!sink.failing) await delay(5);
  const closed = sink.close?.();
  await outcome;
  await expect(closed).rejects.toMatchObject({ code: 'EVENTS_FAILED' });
  expect(troubles).toEqual(['event log /dev/full cannot be written: ENOSPC']);
});

test('a pipe whose reader is gone fails for good', async () => {
  const path = at('pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const sink = await openFileSink({ path, clock });
  closeSync(reader);
  await expect(Promise.resolve(sink.write([numbered(refusedBody(), 1)]))).rejects.toThrow(/EPIPE/);
  expect(() => sink.write([allow(2)])).toThrow(/EPIPE/);
  await sink.close?.();
});

test('a pipe whose reader is slow gets every line whole', async () => {
  const path = at('pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const sink = await openFileSink({ path, clock });
  const events = Array.from({ length: 1_600 }, (_, index) => allow(index + 1)); // More than a pipe holds, and than waits.
  const written = Promise.resolve(sink.write(events));
  let text = '';
  const chunk = Buffer.alloc(4_096);
  while (text.split('\n').length <= events.length) {
    try {
      text += chunk.toString('latin1', 0, readSync(reader, chunk));
    } catch {
      await delay(1); // EAGAIN: the writer is not there yet.
    }
  }
  await written;
  await sink.close?.();
  closeSync(reader);
  expect(
    text
      .trimEnd()
      .split('\n')
      .map(line => (JSON.parse(line) as Event).seq),
  ).toEqual(events.map(e => e.seq));
});

test('a descriptor that was given is written to and left open', async () => {
  const path = at('given');
  const descriptor = openSync(path, 'a');
  const sink = await openFileSink({ path: `/dev/fd/${descriptor}`, clock });
  await sink.write([numbered(refusedBody(), 1)]);
  await sink.close?.();
  await appendFile(path, '');
  closeSync(descriptor);
  expect(await seqs(path)).toEqual([1]);
});

test('two writers of one log keep their lines whole', async () => {
  const path = at('log');
  const sinks = await Promise.all([openFileSink({ path, clock }), openFileSink({ path, clock })]);
  for (let seq = 1; seq <= 50; seq++)
    for (const sink of sinks) await sink.write([numbered(refusedBody(), seq)]);
  for (const sink of sinks) await sink.close?.();
  expect(await seqs(path)).toHaveLength(100);
});

test('close ends with its signal although the reader of the pipe has stopped', async () => {
  const path = at('pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  const sink = await openFileSink({ path: `/dev/fd/${writer}`, clock });
  const events = Array.from({ length: 1_600 }, (_, index) => allow(index + 1)); // More than a pipe holds, and than waits.
  const written = expect(Promise.resolve(sink.write(events))).rejects.toThrow(/EAGAIN/);
  await expect(sink.close?.(AbortSignal.timeout(20))).rejects.toThrow(/EAGAIN/);
  await written;
  closeSync(reader);
  closeSync(writer);
});

test('an event that cannot be written leaves nothing of itself before the next one', async () => {
  const path = at('log');
  const encode = (event: Event): string => {
    if (event.seq === 2) throw new RangeError('no');
    return `${event.seq}\n`;
  };
  const sink = await openFileSink({ path, clock, encode });
  await sink.write([allow(1)]);
  expect(() => sink.write([allow(2)])).toThrow('no');
  await sink.write([allow(3)]);
  await sink.close?.();
  expect(await readFile(path, 'utf8')).toBe('1\n3\n');
});

test('lines that are written while others are on their way to the disk stay in order', async () => {
  const path = at('log');
  const sink = await openFileSink({ path, clock });
  const writes: (Promise<void> | void)[] = [];
  for (let from = 1; from <= 3_000; from += 500) {
    writes.push(sink.write(Array.from({ length: 500 }, (_, index) => allow(from + index))));
    await delay(0);
  }
  await Promise.all(writes);
  await sink.close?.();
  expect(await seqs(path)).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 1));
});
