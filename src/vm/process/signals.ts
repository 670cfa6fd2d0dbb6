/** The host's processes: who belongs to a machine, and signals for them (shell). */
import { readdirSync, readlinkSync } from 'node:fs';
import { type ProcessFact, parseStatus } from './family.js';
import { readHostText } from './host.js';

export function processes(): readonly ProcessFact[] {
  return pids()
    .map(pid => parseStatus(readHostText(`/proc/${pid}/status`) ?? ''))
    .filter(fact => fact !== null);
}

/** The processes of the PID namespace that `inside` is in, `inside` itself among them. */
export function namesakes(inside: number): readonly number[] {
  const namespace = namespaceOf(inside);
  return namespace === null ? [] : pids().filter(pid => namespaceOf(pid) === namespace);
}

export function parentOf(pid: number): number | null {
  return parseStatus(readHostText(`/proc/${pid}/status`) ?? '')?.parent ?? null;
}

/**
 * Whether `pid` runs a program of its own: until then it is a copy of its parent, bubblewrap, and a signal that ends it
 * looks like a sandbox that could not be made.
 */
export function hasBegun(pid: number): boolean {
  const own = readHostText(`/proc/${pid}/cmdline`) ?? '';
  const parent = parentOf(pid);
  return parent === null || own !== readHostText(`/proc/${parent}/cmdline`);
}

/** Whether there was somebody to signal. A negative `pid` is a process group. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false; // it ended between the look and the signal
  }
}

function pids(): readonly number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
}

function namespaceOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return null; // gone, or another user's: not one of ours
  }
}
