/**
 * One run: mutants of a target's seeds until the time is up or a promise is broken (shell: it reads the clock).
 */
import { minimise } from './minimise.js';
import { mutant } from './mutate.js';
import { Random } from './random.js';
import type { Target } from './target.js';

export interface RunOptions {
  readonly milliseconds: number;
  readonly seed: number;
  /** Stops after this many inputs, if the time is not up before. */
  readonly inputs?: number;
}

export interface Finding {
  /** As it was found, and made small. */
  readonly input: Buffer;
  readonly small: Buffer;
  /** What `--seed` must be for `--input` to fail again. */
  readonly seed: number;
  readonly message: string;
}

export interface RunReport {
  readonly target: string;
  readonly inputs: number;
  readonly milliseconds: number;
  /** How often each kind of outcome was seen. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Longest check of one input, in milliseconds. */
  readonly slowestMs: number;
  readonly finding: Finding | null;
}

export async function runTarget(target: Target, options: RunOptions): Promise<RunReport> {
  const mutation = { seeds: target.seeds(), tokens: target.tokens };
  const random = new Random(options.seed);
  const outcomes = new Map<string, number>();
  const start = performance.now();
  let inputs = 0;
  let slowestMs = 0;
  let now = start;
  let finding: Finding | null = null;
  while (finding === null && now - start < options.milliseconds && inputs < (options.inputs ?? Infinity)) {
    // The seeds first, as they are.
    const input = mutation.seeds[inputs] ?? mutant(mutation, random);
    const seed = random.next();
    inputs += 1;
    try {
      const outcome = await checkOnce(target, input, seed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      finding = await findingOf(target, input, seed, error);
    }
    const then = performance.now();
    slowestMs = Math.max(slowestMs, then - now);
    now = then;
  }
  return { target: target.name, inputs, milliseconds: now - start, outcomes, slowestMs, finding };
}

/** Awaits only what is a promise: most checks are not, and there are millions of them. */
export function checkOnce(target: Target, input: Buffer, seed: number): string | Promise<string> {
  return target.check(input, new Random(seed));
}

async function findingOf(target: Target, input: Buffer, seed: number, error: unknown): Promise<Finding> {
  const small = await minimise(input, async candidate => (await failure(target, candidate, seed)) !== null);
  const message = (await failure(target, small, seed)) ?? messageOf(error);
  return { input, small, seed, message };
}

/** Why `input` fails, or null. */
async function failure(target: Target, input: Buffer, seed: number): Promise<string | null> {
  try {
    await checkOnce(target, input, seed);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
