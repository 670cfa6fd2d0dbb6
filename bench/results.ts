/** What was measured, as it is kept: numbers of every round, and what they come to. Pure. */
import type { Outcome } from './load/command.js';
import type { Machine } from './machine.js';

export interface Sample {
  readonly cell: string;
  readonly column: string;
  readonly round: number;
  readonly value: number;
  /** Null where there is no process to ask. */
  readonly cpu: number | null;
  readonly p99: number;
  readonly outcome: Outcome;
}

export interface Memory {
  readonly column: string;
  readonly what: string;
  readonly mib: number;
}

export interface Results {
  readonly startedAt: string;
  readonly commit: string;
  readonly quick: boolean;
  readonly rounds: number;
  readonly machine: Machine;
  readonly loadAfter: readonly number[];
  readonly columns: readonly string[];
  /** Why a column has no numbers. */
  readonly absent: Readonly<Record<string, string>>;
  readonly samples: readonly Sample[];
  readonly memory: readonly Memory[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Null of nothing. */
export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b);
  const min = sorted[0];
  const max = sorted[sorted.length - 1];
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  if (min === undefined || max === undefined || upper === undefined || lower === undefined) return null;
  return { median: (upper + lower) / 2, min, max };
}

/** How often the load saw something other than it should have, over all samples of `column`. */
export function errorsOf(results: Results, column: string): ReadonlyMap<string, number> {
  const errors = new Map<string, number>();
  for (const sample of results.samples) {
    if (sample.column !== column) continue;
    for (const [kind, count] of Object.entries(sample.outcome.errors)) {
      const key = `${sample.cell}: ${kind}`;
      errors.set(key, (errors.get(key) ?? 0) + count);
    }
  }
  return errors;
}
