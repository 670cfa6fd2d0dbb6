/** The exit of a sandboxed command, out of what the chain around it and bubblewrap's status say. Pure. */
import { constants } from 'node:os';
import type { CommandExit } from '../command.js';

/** `SIGKILL` of 9; null for a number that is no signal's. */
export function signalName(number: number): NodeJS.Signals | null {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found === undefined ? null : (found[0] as NodeJS.Signals);
}

export interface Outcome {
  /** Of the outermost process; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** bubblewrap's `--json-status-fd`: one object a line. */
  readonly status: string;
}

/** The code of `env` for its own failures: the sandbox could not be made, and bubblewrap has said why. */
const SANDBOX_FAILED = 125;

export function exitOf({ code, signal, status }: Outcome): CommandExit {
  if (signal !== null) return { code: 128 + constants.signals[signal], signal };
  // Written only if the command was started: without it, the code is bubblewrap's own.
  if (!/"exit-code"/.test(status)) return { code: SANDBOX_FAILED, signal: null };
  return { code: code ?? SANDBOX_FAILED, signal: null };
}
