/**
 * Mounts as users write them: `HOST:GUEST[:ro]`, and the checks that every guest path passes.
 *
 * Pure. A guest path ends up in kernel arguments and shell scripts of the guest: what would need quoting there is
 * refused here.
 */
import { posix } from 'node:path';
import { DEFAULT_WORKSPACE, type Mount } from './config.js';
import { ErrMountInvalidConfig } from './errors.js';

export interface VolumeMount {
  /** Absolute. */
  readonly hostPath: string;
  /** Absolute, in the workspace. */
  readonly guestPath: string;
  readonly readonly: boolean;
}

/**
 * Reads `HOST:GUEST`, `HOST:GUEST:ro` or `HOST:GUEST:rw`. The guest's path is relative to the workspace, unless it
 * begins with the workspace's own; a relative host path is relative to `cwd`. Throws `ErrMountInvalidConfig`.
 */
export function parseVolumeMount(
  volume: string,
  workspace: string = DEFAULT_WORKSPACE,
  cwd?: string,
): VolumeMount {
  const [host = '', guest = '', access = 'rw', ...rest] = volume.split(':');
  if (host === '' || guest === '' || rest.length > 0) {
    throw invalid(`${shown(volume)} is not HOST:GUEST or HOST:GUEST:ro`);
  }
  if (access !== 'ro' && access !== 'rw') {
    throw invalid(`${shown(volume)}: ${shown(access)} is neither ro nor rw`);
  }
  if (guest.split('/').includes('..')) throw invalid(`${shown(volume)}: the guest's path holds ..`);
  const root = posix.normalize(workspace);
  const guestPath = isWithin(posix.normalize(guest), root)
    ? posix.normalize(guest)
    : posix.join(root, posix.normalize(guest));
  const trimmed = withoutSlash(guestPath);
  validateGuestMount(trimmed);
  if (host.includes('\0')) throw invalid(`${shown(volume)}: the host's path holds a NUL`);
  return {
    hostPath: cwd === undefined ? posix.resolve(host) : posix.resolve(cwd, host),
    guestPath: trimmed,
    readonly: access === 'ro',
  };
}

/** Folders of the guest's kernel: a mount over one would take the guest apart. */
const KERNELS = ['/proc', '/sys', '/dev'];
const SAFE = /^(?:\/[A-Za-z0-9._@+-]+)+$/;

/** Why no mount may be at `path`, or null. */
export function guestMountProblem(path: string): string | null {
  if (!path.startsWith('/')) return `${shown(path)} is not an absolute path`;
  if (path === '/') return 'the root itself cannot be a mount of yours';
  if (!SAFE.test(path)) {
    return `${shown(path)} holds more than letters, digits and . _ @ + - between single slashes`;
  }
  if (path.split('/').some(part => part === '.' || part === '..')) return `${shown(path)} holds . or ..`;
  const kernel = KERNELS.find(folder => isWithin(path, folder));
  return kernel === undefined ? null : `${shown(path)} is in ${kernel}, which is the kernel's`;
}

/** Throws `ErrMountInvalidConfig` for a path that kernel arguments or a shell would read in another way. */
export function validateGuestMount(path: string): void {
  const problem = guestMountProblem(path);
  if (problem !== null) throw invalid(problem);
}

/** Every problem of a list of mounts, with its path: `mounts[1].guest_path: …`. */
export function mountProblems(mounts: readonly Mount[]): readonly string[] {
  const taken = new Map<string, number>();
  return mounts.flatMap(({ hostPath, guestPath }, at) => {
    const problems: string[] = [];
    if (hostPath === '') problems.push(`mounts[${at}].host_path: is empty`);
    else if (!hostPath.startsWith('/') || hostPath.includes('\0')) {
      problems.push(`mounts[${at}].host_path: ${shown(hostPath)} is not an absolute path`);
    }
    const problem = guestMountProblem(guestPath);
    if (problem !== null) problems.push(`mounts[${at}].guest_path: ${problem}`);
    const first = taken.get(guestPath);
    if (first !== undefined) problems.push(`mounts[${at}].guest_path: mounts[${first}] is there already`);
    taken.set(guestPath, first ?? at);
    return problems;
  });
}

/** Throws `ErrMountInvalidConfig`, whose message lists every problem. */
export function validateMounts(mounts: readonly Mount[]): void {
  const problems = mountProblems(mounts);
  if (problems.length > 0) throw invalid(problems.join('\n'));
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${withoutSlash(folder)}/`);
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

const MAX_SHOWN = 200;

function shown(text: string): string {
  return `'${text.slice(0, MAX_SHOWN).replace(/[^\x20-\x7e]/g, '?')}'`;
}

function invalid(message: string): Error {
  return new ErrMountInvalidConfig(`invalid mount config: ${message}`);
}
