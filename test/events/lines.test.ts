import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readLines } from '../../src/events/lines.js';

let path: string;

beforeAll(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'sallyport-lines-')), 'log');
});

afterAll(() => rm(join(path, '..'), { recursive: true }));

async function linesOf(offset = 0): Promise<readonly (readonly [number, string])[]> {
  const found: (readonly [number, string])[] = [];
  for await (const { lines, firstLine } of readLines(path, { offset })) {
    lines.forEach((line, at) => void found.push([firstLine + at, line]));
  }
  return found;
}

/** Of no length, of some, and of more than is read at once; in ASCII, and in letters that a piece may end within. */
const line = fc
  .tuple(
    fc.constantFrom('a', 'ü', '\u20ac', '\u{1f600}', 'x\r'),
    fc.oneof(fc.nat(40), fc.integer({ min: 60_000, max: 70_000 }), fc.constantFrom(32_768, 65_535, 65_536)),
  )
  .map(([unit, times]) => unit.repeat(times));

test('lines come whole and numbered, whatever their length and wherever a piece ends', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 12 }), line, async (lines, rest) => {
      await writeFile(path, `${lines.map(text => `${text}\n`).join('')}${rest}`);
      expect(await linesOf()).toEqual(lines.map((text, at) => [at + 1, text]));
    }),
    { seed: 20_261_127, numRuns: 60 },
  );
});

test('reading begins at the offset that is given', async () => {
  await writeFile(path, 'first\nsecond\nthird\n');
  expect(await linesOf('first\n'.length)).toEqual([
    [1, 'second'],
    [2, 'third'],
  ]);
});

test('a line of megabytes is read, one without an end is an error', async () => {
  const long = 'x'.repeat(4_000_000);
  await writeFile(path, `${long}\nshort\n`);
  expect(await linesOf()).toEqual([
    [1, long],
    [2, 'short'],
  ]);
  await writeFile(path, 'x'.repeat(4_400_000));
  await expect(linesOf()).rejects.toThrow(/log:1: a line of over \d+ bytes/);
});
