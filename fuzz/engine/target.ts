/** What can be fuzzed: one reader, and what must hold for every input. */
import type { Random } from './random.js';

export interface Target {
  readonly name: string;
  /** One sentence: what must hold. */
  readonly promise: string;
  /** Well-formed and hostile inputs to begin with. */
  seeds(): readonly Buffer[];
  /** What the readers of this target look for. */
  readonly tokens: readonly string[];
  /**
   * Throws when the promise does not hold for `input`. What it gives back names the kind of outcome (`both`,
   * `refused`), so that a run tells how much of it reached deep. `random` is the same for the same input and seed.
   */
  check(input: Buffer, random: Random): string | Promise<string>;
  /** Ends what the checks have opened. */
  close?(): Promise<void>;
}
