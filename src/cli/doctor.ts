/** `sallyport doctor`: what this machine has of what the sandbox needs, and the one command that mends it. */
import type { Io } from './io.js';

/** Prints the table. Resolves to the exit code: 0, or 1 when something needed is missing. */
export async function runDoctor(io: Io): Promise<number> {
  io.stderr('doctor: nothing to look at yet\n');
  return 1;
}
