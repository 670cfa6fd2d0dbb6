/**
 * `npm run corpus -- [--dir DIR] [--file NAME] [--json OUT]`: every case of every corpus file in DIR against the real
 * code. Exit code 0: all passed or were skipped; 1: some failed; 2: the arguments or a file are wrong.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Choice, parseChoices } from './choices.js';
import { parseCorpusFile } from './file.js';
import { adapterFor } from './registry.js';
import { type FileReport, runFile } from './runner.js';

const USAGE = 'usage: npm run corpus -- [--dir DIR] [--file NAME] [--json OUT]';

interface Options {
  readonly dir: string;
  readonly file: string | null;
  readonly json: string | null;
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === null) {
    console.error(USAGE);
    return 2;
  }
  const names = corpusNames(options);
  if (names.length === 0) {
    console.error(`corpus: no corpus file${options.file ? ` ${options.file}` : ''} in ${options.dir}`);
    return 2;
  }
  const choices = parseChoices(readFileSync('docs/reference/choices.md', 'utf8'));
  const reports: FileReport[] = [];
  let unread = 0;
  for (const name of names) {
    try {
      const report = await runNamed(options.dir, name, choices);
      print(report);
      reports.push(report);
    } catch (error) {
      // The other files have nothing to do with it.
      console.error(`corpus: ${error instanceof Error ? error.message : error}`);
      unread += 1;
    }
  }
  if (options.json !== null) writeFileSync(options.json, jsonOf(reports));
  const sum = (field: 'passed' | 'failed' | 'skipped'): number =>
    reports.reduce((total, report) => total + report[field], 0);
  console.log(`all files: ${sum('passed')} passed / ${sum('failed')} failed / ${sum('skipped')} skipped`);
  if (unread > 0) return 2;
  return sum('failed') === 0 ? 0 : 1;
}

function parseOptions(argv: readonly string[]): Options | null {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { dir: { type: 'string' }, file: { type: 'string' }, json: { type: 'string' } },
    });
    return { dir: values.dir ?? 'test/corpus', file: values.file ?? null, json: values.json ?? null };
  } catch (error) {
    console.error(`corpus: ${error instanceof Error ? error.message : error}`);
    return null;
  }
}

/** `--file` takes the name with or without `.json`. */
function corpusNames({ dir, file }: Options): string[] {
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir).filter(name => name.endsWith('.json'));
  return names.filter(name => file === null || name === file || name === `${file}.json`).sort();
}

async function runNamed(dir: string, name: string, choices: readonly Choice[]): Promise<FileReport> {
  const file = parseCorpusFile(name, readFileSync(join(dir, name), 'utf8'));
  const startedAt = performance.now();
  const report = await runFile(name, file, adapterFor(file.meta.name), choices);
  if (process.env.CORPUS_TIMES) console.log(`${name}: ${Math.round(performance.now() - startedAt)} ms`);
  return report;
}

function print({ file, passed, failed, skipped, failures, choices, reasons }: FileReport): void {
  console.log(`${file}: ${passed} passed / ${failed} failed / ${skipped} skipped`);
  for (const { id, note, expected, seen } of failures) {
    console.log(`  ${id} (${note})\n    expected ${expected}\n    seen     ${seen}`);
  }
  if (choices.length > 0) console.log(`  by documented choice: ${choices.join(' ')}`);
  for (const reason of reasons) console.log(`  skipped: ${reason}`);
}

function jsonOf(reports: readonly FileReport[]): string {
  const files = reports.map(({ file, passed, failed, skipped, failures, choices }) => ({
    file,
    passed,
    failed,
    skipped,
    failures: failures.map(({ id }) => id),
    choices,
  }));
  return `${JSON.stringify({ files }, null, 2)}\n`;
}

// What was left open has been told by now; it must not keep the run from ending.
process.exit(await main(process.argv.slice(2)));
