/**
 * The arguments of bubblewrap.
 *
 * Pure. They go to it over a pipe (`--args`), not in its argv, which every process of the host can read.
 */
import { posix } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import type { CommandSpec, DataFile } from '../command.js';
import { HOSTNAME } from './etc.js';
import { type HostFiles, hostPathOf, imagesOf, isWithin, type Mount, realPaths } from './mounts.js';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export interface BwrapInput {
  readonly spec: CommandSpec;
  readonly plan: readonly Mount[];
  readonly host: HostFiles;
  /** Null where there is no user namespace: then the command is real root, without capabilities. */
  readonly identity: Identity | null;
  /** A network namespace of its own, with nothing but `lo`: where no door is entered before. */
  readonly ownNetwork?: boolean;
  /** Paths of the host's sockets. */
  readonly sockets: readonly string[];
  /** Number of the pipe that takes bubblewrap's status, and of the one that gives the system call filter. */
  readonly statusFd: number;
  readonly seccompFd: number;
  /** Number of the first of the pipes that give the files of `covered`, in order. */
  readonly firstFileFd: number;
  /** Files to lay over what is there: `coverable(spec.files)`. */
  readonly covered: readonly DataFile[];
}

export function bwrapArgs(input: BwrapInput): readonly string[] {
  const { spec, identity } = input;
  return [
    ...(identity === null ? [] : ['--unshare-user', '--uid', `${identity.uid}`, '--gid', `${identity.gid}`]),
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...['--hostname', spec.hostname ?? HOSTNAME, '--cap-drop', 'ALL', '--die-with-parent'],
    ...(input.ownNetwork ? ['--unshare-net'] : []),
    ...['--seccomp', `${input.seccompFd}`, '--json-status-fd', `${input.statusFd}`],
    ...input.plan.flatMap(mountArgs),
    ...homeArgs(input),
    ...maskArgs(input),
    ...input.covered.flatMap((file, index) => ['--ro-bind-data', `${input.firstFileFd + index}`, file.path]),
    ...['--chdir', spec.workdir],
    ...[...spec.env].flatMap(([name, value]) => ['--setenv', name, value]),
  ];
}

/**
 * The arguments as `--args` takes them, each ended by NUL. Throws `CONFIG_INVALID` for one that holds a NUL: its
 * rest would be read as an option.
 */
export function emitArgs(args: readonly string[]): string {
  if (args.some(arg => arg.includes('\0'))) {
    throw new GatewayError('CONFIG_INVALID', 'a path or a variable of the sandbox holds a NUL character');
  }
  return args.map(arg => `${arg}\0`).join('');
}

function mountArgs(mount: Mount): readonly string[] {
  if (mount.kind === 'memory') return ['--tmpfs', mount.target];
  if (mount.kind !== 'bind') return [`--${mount.kind}`, mount.target];
  return [mount.writable ? '--bind' : '--ro-bind', mount.source, mount.target];
}

/** HOME exists, empty, where it is below one of our own folders. */
function homeArgs({ spec, plan }: BwrapInput): readonly string[] {
  const home = spec.env.get('HOME');
  if (home === undefined || !home.startsWith('/') || hostPathOf(home, plan) !== null) return [];
  return ['--dir', posix.normalize(home)];
}

/** An empty folder over a folder, a file that cannot be opened over a file or a socket. */
function maskArgs({ spec, plan, host, sockets, identity }: BwrapInput): readonly string[] {
  const granted = new Set(
    realPaths(
      spec.binds.map(({ source }) => source),
      host,
    ),
  );
  const reachable = realPaths(sockets, host).filter(
    path => host.kind(path) === 'socket' && !granted.has(path),
  );
  const all = [...realPaths(spec.hide, host), ...reachable];
  const hidden = new Set(identity === null ? all : all.map(path => maskableOf(path, host)));
  return [...hidden].flatMap(path => {
    const mask = host.kind(path) === 'directory' ? ['--tmpfs'] : ['--ro-bind', '/dev/null'];
    return imagesOf(path, plan).flatMap(image => [...mask, image]);
  });
}

/**
 * The path, or the first folder on the way to it that bubblewrap cannot enter either: a mount below it would fail, and
 * with it every command. Another user's private folder, to root in a user namespace.
 */
function maskableOf(path: string, host: HostFiles): string {
  const names = path.split('/').slice(1, -1);
  const folders = names.map((_name, at) => `/${names.slice(0, at + 1).join('/')}`);
  return folders.find(folder => !host.mayEnter(folder)) ?? path;
}

/**
 * The files that can be laid over, at their real paths. One that does not exist on the host can only be made in a
 * folder of our own: elsewhere it would be made on the host. Where two name the same file, the last one counts.
 */
export function coverable(
  files: readonly DataFile[],
  plan: readonly Mount[],
  host: HostFiles,
): readonly DataFile[] {
  const covered = new Map<string, DataFile>();
  for (const { path, content } of files) {
    const real = host.realpath(path);
    const kept = real === null ? hostPathOf(path, plan) === null : !isWithin(real, '/proc');
    if (kept) covered.set(real ?? path, { path: real ?? path, content });
  }
  return [...covered.values()];
}
