import { readFileSync } from 'node:fs';
import { choiceFor, parseChoices } from './corpus/choices.js';
import { parseCorpusFile } from './corpus/file.js';
import { runFile } from './corpus/runner.js';
import { type CorpusAdapter, type CorpusFile, failed, PASSED, skipped } from './support/corpus/case.js';

const CASES: CorpusFile = {
  meta: { name: 'demo' },
  cases: [
    { id: 'a-1', category: 'x', expect: 'pass' },
    { id: 'a-2', category: 'x', expect: 'fail', note: 'a note' },
    { id: 'a-3', category: 'x', expect: 'skip' },
    { id: 'a-4', category: 'x', expect: 'choose', policyChoice: 'may-reject' },
    { id: 'a-5', category: 'y', expect: 'choose', policyChoice: 'may-reject' },
    { id: 'a-6', category: 'x', expect: 'throw' },
  ],
};

const CHOICES = parseChoices(
  '| file | … |\n|---|---|\n| `demo` | `x` | `may-reject` | `reject` | why | a-4 |\n',
);

function adapter(more: object = {}): CorpusAdapter {
  return {
    concurrency: 3,
    open: () => ({
      run: ({ expect }) => {
        if (expect === 'throw') throw new Error('boom');
        if (expect === 'skip') return skipped('later');
        if (expect === 'choose') return failed('forward', 'reject: 400');
        return expect === 'pass' ? PASSED : failed('forward', 'reject: 400');
      },
      close: async () => undefined,
      ...more,
    }),
  };
}

test('the runner counts what passed, failed, was skipped, and went the documented other way', async () => {
  const report = await runFile('demo.json', CASES, adapter(), CHOICES);
  expect(report).toMatchObject({ file: 'demo.json', passed: 2, failed: 3, skipped: 1, choices: ['a-4'] });
  expect(report.failures.map(({ id }) => id).sort()).toEqual(['a-2', 'a-5', 'a-6']);
  expect(report.reasons).toEqual(['later']);
});

test('the runner skips a file without an adapter, and says why', async () => {
  const report = await runFile('demo.json', CASES, { reason: 'no adapter' }, []);
  expect(report).toMatchObject({ passed: 0, failed: 0, skipped: 6, reasons: ['no adapter'] });
});

test('the runner fails the cases of a file that no session can be opened for, and goes on', async () => {
  const broken: CorpusAdapter = { concurrency: 1, open: () => Promise.reject(new Error('no addresses')) };
  const report = await runFile('demo.json', CASES, broken, []);
  expect(report).toMatchObject({ passed: 0, failed: 6, skipped: 0 });
  expect(report.failures[0]?.seen).toContain('no addresses');
});

test('a corpus file may leave out its name, its cases and their ids', () => {
  expect(parseCorpusFile('h2.json', '{}')).toEqual({ meta: { name: 'h2' }, cases: [] });
  const text = '{ "meta": { "name": "dns", "rules": {} }, "ruleSets": [{ "host": "a" }], "more": 1 }';
  expect(parseCorpusFile('x.json', text)).toEqual({
    meta: { name: 'dns', rules: {} },
    cases: [],
    ruleSets: [{ id: 'ruleSets[0]', host: 'a' }],
  });
});

test.each([
  ['', 'is not JSON'],
  ['[]', 'is not an object'],
  ['null', 'is not an object'],
  ['{ "cases": 1 }', `'cases' is not a list`],
  ['{ "cases": [1] }', `'cases' is not a list`],
])('a corpus file of %j is refused in words', (text, want) => {
  expect(() => parseCorpusFile('x.json', text)).toThrow(want);
});

const afterwards = [
  { name: 'a sentinel that fails', more: { sentinel: async () => false }, id: 'sentinel' },
  {
    name: 'a value in what got out, without printing it',
    more: { transcript: () => ['x sk-live y'], secretValues: ['sk-live'] },
    id: 'secret-value',
  },
];

for (const { name, more, id } of afterwards) {
  test(`the runner reports ${name}`, async () => {
    const { failures } = await runFile('demo.json', { ...CASES, cases: [] }, adapter(more), []);
    expect(failures.map(failure => failure.id)).toEqual([id]);
    expect(JSON.stringify(failures)).not.toContain('sk-live');
  });
}

test('a choice matches a kind of case and its outcome, never an id', () => {
  const item = { id: 'new-1', category: 'x', policyChoice: 'may-reject' };
  expect(choiceFor(CHOICES, 'demo', item, 'reject: 400')).not.toBeNull();
  expect(choiceFor(CHOICES, 'demo', item, 'forward: 200')).toBeNull();
  expect(choiceFor(CHOICES, 'other', item, 'reject: 400')).toBeNull();
  expect(choiceFor(CHOICES, 'demo', { id: 'new-2', category: 'x' }, 'reject: 400')).toBeNull();
});

test('docs/reference/choices.md can be read, and each row names a file that exists', () => {
  for (const { file } of parseChoices(readFileSync('docs/reference/choices.md', 'utf8'))) {
    expect(() => readFileSync(`test/corpus/${file}.json`)).not.toThrow();
  }
});
