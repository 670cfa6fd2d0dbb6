import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type LogWish, logText } from '../../src/cli/log-text.js';
import { ConsoleLog, consoleFiles } from '../../src/runtime/console-log.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-log-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function all(paths: readonly string[], wish: Partial<LogWish> = {}): Promise<string> {
  const parts: Buffer[] = [];
  for await (const bytes of logText(paths, { lines: null, isOver: null, ...wish })) parts.push(bytes);
  return Buffer.concat(parts).toString();
}

const file = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};

test('logText gives the files one after the other, and nothing of one that is not there', async () => {
  expect(await all([file('a', 'one\n'), join(dir, 'none'), file('b', 'two\n')])).toBe('one\ntwo\n');
  expect(await all([join(dir, 'none')], { lines: 3 })).toBe('');
});

test('logText begins with the last lines, over blocks and over files', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'é', '\n'), maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(line, line, fc.nat(12), fc.boolean(), async (older, newer, lines, isLong) => {
      const text = `${isLong ? 'x'.repeat(70_000) : ''}${newer}`;
      const whole = `${older}${text}`;
      const parts = whole.split('\n');
      const last = parts.at(-1) === '' ? parts.slice(0, -1) : parts;
      const wanted =
        lines === 0
          ? ''
          : last.slice(-lines).join('\n') + (parts.at(-1) === '' && last.length > 0 ? '\n' : '');
      expect(await all([file('older', older), file('newer', text)], { lines })).toBe(wanted);
    }),
    { seed: 7, numRuns: 200 },
  );
});

test('logText goes on with what is written meanwhile, over a change of name, and with the last of it', async () => {
  const path = file('log', 'first\n');
  const steps = [
    () => appendFileSync(path, 'second\n'),
    () => {
      appendFileSync(path, 'third\n');
      renameSync(path, `${path}.1`);
      writeFileSync(path, 'fourth\n');
    },
    () => appendFileSync(path, 'last\n'),
  ];
  const isOver = async (): Promise<boolean> => {
    steps.shift()?.();
    return steps.length === 0;
  };
  expect(await all([`${path}.1`, path], { lines: 1, isOver })).toBe('first\nsecond\nthird\nfourth\nlast\n');
});

test('a console without end keeps two files of a bounded size, and tells what it left out', async () => {
  const path = join(dir, 'console.log');
  const log = new ConsoleLog(path);
  log.write(Buffer.alloc(600_000, 'x'));
  for (let round = 0; round < 40; round += 1) {
    log.write(Buffer.from(`line ${round}\n`.padStart(100_000, '.')));
    await new Promise(resolve => setImmediate(resolve));
    if (round % 2 === 0)
      while (statSync(path, { throwIfNoEntry: false }) === undefined)
        await new Promise(resolve => setTimeout(resolve, 5));
  }
  // Where the disk keeps up, what was told of the first is in no file any more.
  log.write(Buffer.alloc(600_000, 'x'));
  await log.close();
  const sizes = consoleFiles(path).map(name => statSync(name, { throwIfNoEntry: false })?.size ?? 0);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const kept = await all(consoleFiles(path));
  expect(kept).toMatch(/\[\d+ bytes came too fast to be kept\]/);
  expect(readFileSync(path, 'utf8')).not.toBe('');
  const again = new ConsoleLog(path);
  again.write(Buffer.from('of the next start\n'));
  await again.close();
  expect(await all(consoleFiles(path), { lines: 1 })).toBe('of the next start\n');
});

test('a console whose folder is gone costs nobody anything', async () => {
  const log = new ConsoleLog(join(dir, 'none', 'console.log'));
  log.write(Buffer.from('lost'));
  await expect(log.close()).resolves.toBeUndefined();
});
