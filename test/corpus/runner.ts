/**
 * Runs the cases of one corpus file against the real code, and then looks whether anything was left behind: the
 * sentinel still works, file descriptors and flows are back at their baseline, and no secret value got out.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  CorpusAdapter,
  CorpusCase,
  CorpusFile,
  CorpusSession,
  Outcome,
} from '../support/corpus/case.js';
import { type Choice, choiceFor } from './choices.js';

export interface Failure {
  readonly id: string;
  readonly note: string;
  readonly expected: string;
  readonly seen: string;
}

export interface FileReport {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  /** Cases among the passed that went the documented other way. */
  readonly choices: readonly string[];
  /** Why cases were skipped, each reason once. */
  readonly reasons: readonly string[];
}

/** Longest run of one case, in milliseconds. */
const CASE_MS = 30_000;

/** Time for sockets to end before descriptors are counted, in milliseconds. */
const SETTLE_MS = 5_000;

/** Descriptors that a runtime may open on its own: a pool's, a cache's. */
const SPARE_DESCRIPTORS = 4;

/** All that the files ask. A file without an adapter is skipped whole, with `reason`. */
export async function runFile(
  name: string,
  file: CorpusFile,
  adapter: CorpusAdapter | { readonly reason: string },
  choices: readonly Choice[],
): Promise<FileReport> {
  const cases = [...file.cases, ...(file.ruleSets ?? [])];
  const tally = new Tally(name, file.meta.name, choices);
  if ('reason' in adapter) {
    for (const corpusCase of cases) tally.add(corpusCase, { kind: 'skipped', reason: adapter.reason });
    return tally.report();
  }
  const descriptors = countDescriptors();
  const session = await opened(adapter, file);
  const crash = (error: unknown): void =>
    tally.add({ id: 'crash' }, fail('no uncaught error', stackOf(error)));
  process.on('uncaughtException', crash).on('unhandledRejection', crash);
  try {
    await inParallel(cases, adapter.concurrency, async corpusCase => {
      tally.add(corpusCase, await runCase(session, corpusCase));
    });
    for (const [id, outcome] of await afterwards(session)) tally.add({ id }, outcome);
  } finally {
    await session.close();
    process.off('uncaughtException', crash).off('unhandledRejection', crash);
  }
  const left = await leftOver(descriptors);
  if (left > 0) tally.add({ id: 'descriptors' }, fail('as many as before', `${left} more`));
  return tally.report();
}

/** Where the real code cannot even be set up for a file, each of its cases fails with the reason. */
async function opened(adapter: CorpusAdapter, file: CorpusFile): Promise<CorpusSession> {
  try {
    return await adapter.open(file);
  } catch (error) {
    const outcome = fail('a session', `error ${stackOf(error)}`);
    return { run: () => outcome, close: async () => undefined };
  }
}

class Tally {
  readonly #file: string;
  readonly #corpus: string;
  readonly #rules: readonly Choice[];
  readonly #failures: Failure[] = [];
  readonly #choices: string[] = [];
  readonly #reasons = new Set<string>();
  #passed = 0;
  #skipped = 0;

  constructor(file: string, corpus: string, rules: readonly Choice[]) {
    this.#file = file;
    this.#corpus = corpus;
    this.#rules = rules;
  }

  add(corpusCase: CorpusCase, outcome: Outcome): void {
    const { id, note = '' } = corpusCase;
    if (outcome.kind === 'passed') this.#passed += 1;
    else if (outcome.kind === 'skipped') {
      this.#skipped += 1;
      this.#reasons.add(outcome.reason);
    } else if (choiceFor(this.#rules, this.#corpus, corpusCase, outcome.seen)) {
      this.#passed += 1;
      this.#choices.push(id);
    } else this.#failures.push({ id, note, expected: outcome.expected, seen: outcome.seen });
  }

  report(): FileReport {
    return {
      file: this.#file,
      passed: this.#passed,
      failed: this.#failures.length,
      skipped: this.#skipped,
      failures: this.#failures,
      choices: this.#choices,
      reasons: [...this.#reasons],
    };
  }
}

async function runCase(session: CorpusSession, corpusCase: CorpusCase): Promise<Outcome> {
  const giveUp = new AbortController();
  const tooLate = fail('an outcome', `nothing within ${CASE_MS} ms`);
  const late = delay(CASE_MS, tooLate, { signal: giveUp.signal }).catch(() => tooLate);
  try {
    return await Promise.race([session.run(corpusCase), late]);
  } catch (error) {
    return fail('an outcome', `error ${stackOf(error)}`);
  } finally {
    giveUp.abort();
  }
}

/** What must hold once all cases are done; only what does not hold is told. */
async function afterwards(session: CorpusSession): Promise<[string, Outcome][]> {
  const found: [string, Outcome][] = [];
  if (session.sentinel && !(await session.sentinel())) {
    found.push(['sentinel', fail('an ordinary request works', 'it does not')]);
  }
  if (session.open && !(await eventually(() => session.open?.() === 0))) {
    found.push(['flows', fail('none is open', `${session.open()} are`)]);
  }
  const transcript = session.transcript?.() ?? [];
  for (const value of session.secretValues ?? []) {
    const leaks = transcript.filter(text => text.includes(value));
    const seen = leaks[0]?.replaceAll(value, '<value>').slice(0, 200) ?? '';
    if (leaks.length > 0)
      found.push(['secret-value', fail('stands nowhere', `in ${leaks.length} texts: ${seen}`)]);
  }
  return found;
}

/** Descriptors above the baseline once everything had time to close. */
async function leftOver(baseline: number): Promise<number> {
  const excess = (): number => countDescriptors() - baseline - SPARE_DESCRIPTORS;
  await eventually(() => excess() <= 0);
  return Math.max(0, excess());
}

async function eventually(holds: () => boolean): Promise<boolean> {
  for (let waited = 0; waited < SETTLE_MS; waited += 20) {
    if (holds()) return true;
    await delay(20);
  }
  return holds();
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

async function inParallel<T>(
  items: readonly T[],
  most: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items].reverse();
  const worker = async (): Promise<void> => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
}

function fail(expected: string, seen: string): Outcome {
  return { kind: 'failed', expected, seen };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
