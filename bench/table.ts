/** The Markdown that a run prints. Pure. */
import type { Cell } from './cells.js';
import { errorsOf, type Results, type Sample, spreadOf } from './results.js';

const ANCHOR = 'squid';

export function tableOf(results: Results, cells: readonly Cell[]): string {
  const { machine } = results;
  return [
    `Measured ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC at ${results.commit}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}, Node ${machine.node}; load ${machine.load.join(' ')} before, ${results.loadAfter.join(' ')} after; medians of ${results.rounds} interleaved rounds [min–max], × is the median ratio to ${ANCHOR} in the same round.`,
    section(
      'Speed',
      results,
      cells,
      cell => cell.unit,
      sample => sample.value,
    ),
    section(
      'Processor time',
      results,
      cells,
      cell => cell.per.unit,
      sample => sample.cpu,
    ),
    section(
      'p99, ms',
      results,
      cells.filter(({ per }) => per.unit.endsWith('request')),
      () => 'ms',
      sample => sample.p99,
    ),
    memoryTable(results),
    errorList(results),
  ]
    .filter(part => part !== '')
    .join('\n\n');
}

function section(
  title: string,
  results: Results,
  cells: readonly Cell[],
  unit: (cell: Cell) => string,
  value: (sample: Sample) => number | null,
): string {
  const rows = cells.map(cell => {
    const anchors = numbersOf(results, cell, ANCHOR, value);
    const shown = results.columns.map(column => {
      const numbers = numbersOf(results, cell, column, value);
      const spread = spreadOf([...numbers.values()]);
      if (spread === null) return results.absent[column] ?? '–';
      const pairs = column === ANCHOR ? null : spreadOf(ratiosOf(numbers, anchors));
      const ratio = pairs === null ? '' : ` (${pairs.median.toFixed(2)}×)`;
      const range = results.rounds > 1 ? ` [${short(spread.min)}–${short(spread.max)}]` : '';
      return `${short(spread.median)}${ratio}${range}`;
    });
    return `| ${cell.title}, ${unit(cell)} | ${shown.join(' | ')} |`;
  });
  return table(title, results.columns, rows);
}

/** By round. One without an answer has no speed; it is among the errors. */
function numbersOf(
  { samples }: Results,
  cell: Cell,
  column: string,
  value: (sample: Sample) => number | null,
): ReadonlyMap<number, number> {
  const numbers = new Map<number, number>();
  for (const sample of samples) {
    if (sample.cell !== cell.name || sample.column !== column || sample.outcome.count === 0) continue;
    const number = value(sample);
    if (number !== null) numbers.set(sample.round, number);
  }
  return numbers;
}

/** Of the rounds that both have: a machine is not as fast in one minute as in the next, but is in the same. */
function ratiosOf(numbers: ReadonlyMap<number, number>, anchors: ReadonlyMap<number, number>): number[] {
  const ratios: number[] = [];
  for (const [round, number] of numbers) {
    const anchor = anchors.get(round);
    if (anchor !== undefined && anchor > 0) ratios.push(number / anchor);
  }
  return ratios;
}

function memoryTable({ memory, columns, absent }: Results): string {
  if (memory.length === 0) return '';
  const rows = [...new Set(memory.map(({ what }) => what))].map(what => {
    const shown = columns.map(column => {
      const one = memory.find(entry => entry.what === what && entry.column === column);
      return one === undefined ? (absent[column] ?? '–') : short(one.mib);
    });
    return `| ${what} | ${shown.join(' | ')} |`;
  });
  return table('Memory, MiB', columns, rows);
}

function table(title: string, columns: readonly string[], rows: readonly string[]): string {
  return [
    `| ${title} | ${columns.join(' | ')} |`,
    `|---|${columns.map(() => '---:|').join('')}`,
    ...rows,
  ].join('\n');
}

function errorList(results: Results): string {
  const lines = results.columns.flatMap(column =>
    [...errorsOf(results, column)].map(([kind, count]) => `- ${column}, ${kind}: ${count}`),
  );
  return lines.length === 0 ? 'No answer was other than it should be.' : ['Errors:', ...lines].join('\n');
}

function short(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
