/** What the corpus runner and the adapters of the corpus files agree on. */

/** One case, as its file holds it. What the fields mean is the adapter's knowledge. */
export interface CorpusCase {
  readonly id: string;
  readonly category?: string;
  readonly note?: string;
  /** Present where the other outcome is defensible; says which. */
  readonly policyChoice?: string;
  readonly [field: string]: unknown;
}

export interface CorpusFile {
  readonly meta: { readonly name: string; readonly [field: string]: unknown };
  readonly cases: readonly CorpusCase[];
  readonly ruleSets?: readonly CorpusCase[];
}

export type Outcome =
  | { readonly kind: 'passed' }
  /** `seen` begins with one word for what happened (`reject`, `forward`): `choices.md` names outcomes by it. */
  | { readonly kind: 'failed'; readonly expected: string; readonly seen: string }
  | { readonly kind: 'skipped'; readonly reason: string };

/** The real code, ready to be asked the cases of one file. */
export interface CorpusSession {
  /** A rejection fails the case. */
  run(corpusCase: CorpusCase): Promise<Outcome> | Outcome;
  /** An ordinary request, after the cases: is everything still well? Absent where there is no gateway. */
  sentinel?(): Promise<boolean>;
  /** Flows, sessions, connections that are still open; zero at rest. */
  open?(): number;
  /** Everything the sandbox, the events and the logs were given: no value of `secretValues` may stand in it. */
  transcript?(): readonly string[];
  readonly secretValues?: readonly string[];
  close(): Promise<void>;
}

export interface CorpusAdapter {
  /** Most cases that run at the same time. */
  readonly concurrency: number;
  open(file: CorpusFile): Promise<CorpusSession> | CorpusSession;
}

export const PASSED: Outcome = { kind: 'passed' };

export function failed(expected: unknown, seen: unknown): Outcome {
  return { kind: 'failed', expected: asText(expected), seen: asText(seen) };
}

export function skipped(reason: string): Outcome {
  return { kind: 'skipped', reason };
}

/** Passed if both are the same word. */
export function compare(expected: string, seen: string): Outcome {
  return expected === seen ? PASSED : failed(expected, seen);
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
