import { cellsOf } from '../../bench/cells.js';
import { makePattern, PatternCheck, PERIOD } from '../../bench/load/pattern.js';
import { readOptions } from '../../bench/options.js';
import { errorsOf, type Results, type Sample, spreadOf } from '../../bench/results.js';
import { tableOf } from '../../bench/table.js';

const OUTCOME = { count: 10, bytes: 10_240, seconds: 1, p50: 1, p99: 2, errors: {} };

function sample(column: string, round: number, value: number, errors: Record<string, number> = {}): Sample {
  const outcome = { ...OUTCOME, errors };
  return { cell: 'keep-alive-1', column, round, value, cpu: value * 2, p99: 1, outcome };
}

const RESULTS: Results = {
  startedAt: '2026-01-01T00:00:00.000Z',
  commit: 'abc',
  quick: false,
  rounds: 2,
  machine: { cpu: 'one', cores: 2, memoryGiB: 4, kernel: 'Linux', node: 'v20', load: [0] },
  loadAfter: [0],
  columns: ['squid', 'sallyport', 'mockttp'],
  absent: { mockttp: 'not installed' },
  samples: [
    sample('squid', 0, 100),
    sample('squid', 1, 300),
    sample('sallyport', 0, 120),
    sample('sallyport', 1, 480, { truncated: 2 }),
  ],
  memory: [],
};

const spreads = [
  { values: [], want: null },
  { values: [3], want: { median: 3, min: 3, max: 3 } },
  { values: [5, 1, 3], want: { median: 3, min: 1, max: 5 } },
  { values: [4, 1, 3, 2], want: { median: 2.5, min: 1, max: 4 } },
];

for (const { values, want } of spreads) {
  test(`spreadOf tells the median, the least and the greatest of [${values}]`, () => {
    expect(spreadOf(values)).toEqual(want);
  });
}

test('tableOf shows the median of the ratios to squid in each round, and why a column has no numbers', () => {
  const [cell] = cellsOf(readOptions(['--cells', 'keep-alive-1']));
  const markdown = tableOf(RESULTS, cell === undefined ? [] : [cell]);
  expect(markdown).toContain('| 200 [100–300] | 300 (1.40×) [120–480] | not installed |');
});

test('tableOf leaves a round without an answer to the errors', () => {
  const [cell] = cellsOf(readOptions(['--cells', 'keep-alive-1']));
  const failed = sample('squid', 2, 0, { reset: 1 });
  const samples = [
    ...RESULTS.samples,
    sample('sallyport', 2, 300),
    { ...failed, outcome: { ...failed.outcome, count: 0 } },
  ];
  const markdown = tableOf({ ...RESULTS, samples }, cell === undefined ? [] : [cell]);
  expect(markdown).toContain('| 200 [100–300] | 300 (1.40×) [120–480] | not installed |');
  expect(markdown).toContain('- squid, keep-alive-1: reset: 1');
});

test('errorsOf counts every wrong answer by cell and kind', () => {
  expect([...errorsOf(RESULTS, 'sallyport')]).toEqual([['keep-alive-1: truncated', 2]]);
});

test('tableOf lists the errors of a run', () => {
  expect(tableOf(RESULTS, [])).toContain('- sallyport, keep-alive-1: truncated: 2');
});

test('PatternCheck finds good what is the repeated pattern, however it is cut', () => {
  const pattern = makePattern();
  const whole = Buffer.concat([pattern, pattern, pattern.subarray(0, 1000)]);
  for (const step of [999, PERIOD - 1, PERIOD + 1, whole.length]) {
    const check = new PatternCheck(pattern);
    for (let at = 0; at < whole.length; at += step) check.push(whole.subarray(at, at + step));
    expect([check.good, check.bytes]).toEqual([true, whole.length]);
  }
});

test('PatternCheck finds one wrong byte', () => {
  const pattern = makePattern();
  const check = new PatternCheck(pattern);
  check.push(pattern);
  const wrong = Buffer.from(pattern.subarray(0, 4096));
  wrong[4095] = (wrong[4095] ?? 0) ^ 1;
  check.push(wrong);
  expect(check.good).toBe(false);
});
