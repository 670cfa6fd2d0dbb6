/**
 * Finds a command as the sandbox would: in its PATH, through its mounts (POSIX.1-2017, 8.3 PATH).
 *
 * Pure. Asked before anything starts, so that "no such command" is told apart from a command that exits with 127.
 */
import { posix } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { type HostFiles, hostPathOf, isWithin, type Mount } from './mounts.js';

/** What execvp uses where PATH is not set. */
const DEFAULT_PATH = '/bin:/usr/bin';

/** The files that a sandbox sees. */
export interface Sight {
  readonly plan: readonly Mount[];
  readonly host: HostFiles;
}

export interface View extends Sight {
  readonly workdir: string;
  /** The programs are an image's: those of the host are of no use to it. */
  readonly ofImage?: boolean;
  /** The sandbox's, or undefined where its environment has none. */
  readonly path: string | undefined;
}

/** Throws `COMMAND_NOT_FOUND` or `COMMAND_NOT_EXECUTABLE`; returns where the command is seen. */
export function findCommand(command: string, view: View): string {
  const candidates = candidatesOf(command, view);
  const present = candidates.filter(candidate => lookAt(candidate, view) !== 'absent');
  const runnable = present.find(candidate => lookAt(candidate, view) === 'runnable');
  if (runnable !== undefined) return runnable;
  const [first] = present;
  if (first !== undefined) {
    throw new GatewayError('COMMAND_NOT_EXECUTABLE', `${command}: ${first} is not an executable file`);
  }
  throw new GatewayError(
    'COMMAND_NOT_FOUND',
    `${command}: no such command in the sandbox${hiddenHint(candidates, view)}`,
  );
}

function candidatesOf(command: string, { path, workdir }: View): readonly string[] {
  if (command === '') return [];
  if (command.includes('/')) return [posix.resolve(workdir, command)];
  return (path ?? DEFAULT_PATH).split(':').map(folder => posix.resolve(workdir, folder, command));
}

function hiddenHint(candidates: readonly string[], { host, ofImage }: View): string {
  if (ofImage === true) return '';
  const hidden = candidates.find(candidate => host.isExecutable(candidate));
  if (hidden === undefined) return '';
  return ` (the host has ${hidden}, which the sandbox does not see: bind its folder with --ro-bind)`;
}

function lookAt(candidate: string, view: View): 'absent' | 'present' | 'runnable' {
  const seen = follow(candidate, view);
  if (seen === null) return 'absent';
  // /proc, /dev and what is in memory are the sandbox's own: only the kernel can tell, when it is run.
  if (seen === OWN) return 'runnable';
  return view.host.kind(seen) === 'file' && view.host.isExecutable(seen) ? 'runnable' : 'present';
}

/** A path inside the sandbox's own /dev or /proc. */
const OWN = Symbol('own');

/** As many as the kernel follows (ELOOP). */
const MAX_LINKS = 40;

/**
 * The host's path of what the sandbox sees at `path`, links followed as the sandbox would, so that none leads out of it;
 * null where nothing is, or nothing of the host.
 */
export function seenAt(path: string, sight: Sight): string | null {
  const seen = follow(path, sight);
  return seen === OWN ? null : seen;
}

function follow(path: string, { plan, host }: Sight): string | typeof OWN | null {
  let todo = path.split('/').filter(part => part !== '');
  let done = '/';
  for (let links = 0; links <= MAX_LINKS; ) {
    const part = todo.shift();
    if (part === undefined) return hostPathOf(done, plan);
    const next = posix.join(done, part);
    const shown = hostPathOf(next, plan);
    if (shown === null) {
      if (isKernels(next, plan)) return OWN;
      // An empty directory of ours, unless it is on the way to a mount.
      if (!plan.some(({ target }) => isWithin(target, next))) return null;
      done = next;
      continue;
    }
    const kind = host.kind(shown);
    if (kind === null && !plan.some(({ target }) => isWithin(target, next))) return null;
    if (kind === 'symlink') {
      links += 1;
      const target = posix.resolve(done, host.readlink(shown));
      todo = [...target.split('/').filter(name => name !== ''), ...todo];
      done = '/';
    } else {
      done = next;
    }
  }
  return null;
}

function isKernels(path: string, plan: readonly Mount[]): boolean {
  const top = plan.findLast(({ target }) => isWithin(path, target));
  return top?.kind === 'dev' || top?.kind === 'proc' || top?.kind === 'memory';
}
