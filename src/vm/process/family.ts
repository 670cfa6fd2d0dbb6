/**
 * Finds the command among the processes that lead to it, since a signal for the command must not end them.
 *
 * Pure: texts of /proc/PID/status in (proc_pid_status(5)).
 */
export interface ProcessFact {
  readonly pid: number;
  readonly parent: number;
  /** The number that the process has in its own, innermost PID namespace. */
  readonly innerPid: number;
}

/** Reads `Pid`, `PPid` and the last number of `NSpid`; null for a text that lacks one of them. */
export function parseStatus(text: string): ProcessFact | null {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(text)?.[1];
  const [pid, parent, namespaces] = [field('Pid'), field('PPid'), field('NSpid')];
  if (pid === undefined || parent === undefined || namespaces === undefined) return null;
  return { pid: Number(pid), parent: Number(parent), innerPid: Number(namespaces.split(/\s+/).at(-1)) };
}

/**
 * The command below `outermost`: unshare has one child, bubblewrap, which is process 1 of a namespace; its child is
 * process 1 of the sandbox's own, and the command is process 2 there. Null while they are still being made.
 */
export function commandOf(outermost: number, processes: readonly ProcessFact[]): number | null {
  const childOf = (parent: number | undefined, innerPid: number): number | undefined =>
    processes.find(fact => fact.parent === parent && fact.innerPid === innerPid)?.pid;
  return childOf(childOf(childOf(outermost, 1), 1), 2) ?? null;
}

/**
 * The command below `outermost` that joins a machine: nsenter has one child, bubblewrap, and that has one. Null while
 * they are still being made.
 */
export function joinedCommandOf(outermost: number, processes: readonly ProcessFact[]): number | null {
  const childOf = (parent: number | undefined): number | undefined =>
    processes.find(fact => fact.parent === parent)?.pid;
  return childOf(childOf(outermost)) ?? null;
}
