/** `sallyport setup`: installs the programs that the inner door stands on. */
import type { Io } from './io.js';

export interface SetupOptions {
  /** Print the commands, run none. */
  readonly dryRun: boolean;
  /** Do not ask. */
  readonly yes: boolean;
}

/** Resolves to the exit code. */
export async function runSetup(options: SetupOptions, io: Io): Promise<number> {
  io.stderr(options.dryRun ? 'setup: nothing to do yet\n' : 'setup: cannot install yet\n');
  return 1;
}
