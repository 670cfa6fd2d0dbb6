/** What `doctor` looks at, and how its table reads. Pure. */

export type State = 'ok' | 'missing' | 'optional';

export interface Finding {
  readonly name: string;
  readonly state: State;
  /** A version, a path, or what went wrong; one line. */
  readonly detail: string;
  /** One command that mends it, or null. */
  readonly mending: string | null;
}

/** Whether a machine with these findings can open a sandbox. */
export function isFit(findings: readonly Finding[]): boolean {
  return findings.every(({ state }) => state !== 'missing');
}

const MARKS: Readonly<Record<State, string>> = { ok: 'ok', missing: 'MISSING', optional: 'absent' };

/** One line for each finding, then the commands that mend, each once. */
export function emitTable(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const rows = findings.map(
    ({ name, state, detail }) => `${name.padEnd(width)}  ${MARKS[state].padEnd(7)}  ${oneLine(detail)}`,
  );
  const mending = new Set(
    findings.flatMap(({ state, mending: command }) =>
      state === 'missing' && command !== null ? [command] : [],
    ),
  );
  const advice =
    mending.size === 0 ? [] : ['', 'Mend it, as root, with:', ...[...mending].map(line => `  ${line}`)];
  return [...rows, ...advice].map(line => `${line.trimEnd()}\n`).join('');
}

/** Tools say more than a line; its first is enough, and no control character of theirs reaches the terminal. */
function oneLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').replace(/[\x00-\x1f\x7f]/g, ' ');
}

/** Whether a version of Node, as `process.versions.node` has it, is 20.19 or newer. */
export function isNodeFit(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 20 || (major === 20 && minor >= 19);
}

/** Whether a kernel's release is 5.11 or newer: the first that keeps descriptors from the sandbox in one call. */
export function isKernelFit(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  return major > 5 || (major === 5 && minor >= 11);
}
