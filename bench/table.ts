/** The Markdown that a run prints. Pure. */
import type { Cell } from './cells.js';
import { errorsOf, type Results, type Sample, spreadOf } from './results.js';

const ANCHOR = 'squid';

export function tableOf(results: Results, cells: readonly Cell[]): string {
  const { machine } = results;
  return [
    `Measured ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC at ${results.commit}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}, Node ${machine.node}; load ${machine.load.join(' ')} before, ${results.loadAfter.join(' ')} after; medians of ${results.rounds} interleaved rounds [min–max], × is the ratio to ${ANCHOR}.`,
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
    const spread = (column: string): ReturnType<typeof spreadOf> =>
      spreadOf(
        results.samples
          // One without an answer has no speed; it is among the errors.
          .filter(sample => sample.cell === cell.name && sample.column === column && sample.outcome.count > 0)
          .map(value)
          .filter(number => number !== null),
      );
    const anchor = spread(ANCHOR)?.median ?? null;
    const shown = results.columns.map(column => {
      const numbers = spread(column);
      if (numbers === null) return results.absent[column] ?? '–';
      const ratio =
        anchor === null || anchor === 0 || column === ANCHOR
          ? ''
          : ` (${(numbers.median / anchor).toFixed(2)}×)`;
      const range = results.rounds > 1 ? ` [${short(numbers.min)}–${short(numbers.max)}]` : '';
      return `${short(numbers.median)}${ratio}${range}`;
    });
    return `| ${cell.title}, ${unit(cell)} | ${shown.join(' | ')} |`;
  });
  return table(title, results.columns, rows);
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
