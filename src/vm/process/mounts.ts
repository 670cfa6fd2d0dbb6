/**
 * What a sandbox sees of the host's files: an ordered list of mounts, the later ones on top.
 *
 * Pure: the host's files are asked through `HostFiles`. Whatever is hidden is hidden wherever a bind brings it into
 * view, so no order of options can bring it back.
 */
import { posix } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import type { CommandSpec } from '../command.js';

/** Questions about the host's file system. Paths are absolute. */
export interface HostFiles {
  /** The path without symbolic links, or null where nothing is. */
  realpath(path: string): string | null;
  /** What is at `path` itself, or null. */
  kind(path: string): 'directory' | 'symlink' | 'socket' | 'file' | null;
  readlink(path: string): string;
  isExecutable(path: string): boolean;
  /** Whether a process of our user, without capabilities, may look for names in this folder. */
  mayEnter(folder: string): boolean;
}

export type Mount =
  | { readonly kind: 'bind'; readonly source: string; readonly target: string; readonly writable: boolean }
  /** Empty, writable, gone with the command; `memory` is filled by commands that others may run later. */
  | { readonly kind: 'tmpfs' | 'memory' | 'dev' | 'proc'; readonly target: string };

/** Fresh in every sandbox. /run and /tmp are also where the host's own sockets are. */
const SCRATCH = ['/tmp', '/var/tmp', '/run', '/home', '/root'];

/** Below /run, and yet programs: the whole system of NixOS. */
const RUN_PROGRAMS = '/run/current-system';

/** The mounts of `spec`, `home` being the gateway's own home. Throws `CONFIG_INVALID` for a bind that cannot be. */
export function planMounts(spec: CommandSpec, home: string, host: HostFiles): readonly Mount[] {
  const scratch = spec.noFsIsolation ? ['/run'] : [...SCRATCH, home];
  const plan: Mount[] = [
    { kind: 'bind', source: '/', target: '/', writable: spec.noFsIsolation },
    ...kernelMounts(host),
    ...outermost(realPaths(scratch, host)).map(target => ({ kind: 'tmpfs', target }) as const),
    ...bindsOf(spec, host),
  ];
  for (const mount of plan) refuseHiddenSource(mount, realPaths(spec.hide, host));
  return plan;
}

/** Those that are in none of the others. A user without a home of their own has `/` for one: never that. */
function outermost(paths: readonly string[]): readonly string[] {
  const folders = paths.filter(path => path !== '/');
  return folders.filter(path => !folders.some(other => other !== path && isWithin(path, other)));
}

/**
 * Parts of /proc and /sys that change the host. A file's mode alone says who may write them, so root could without
 * any capability (`core_pattern` names a program that the host then runs): read-only, also to those who asked for
 * the whole file system.
 */
const KERNEL_KNOBS = [
  '/proc/sys',
  '/proc/sysrq-trigger',
  '/proc/irq',
  '/proc/bus',
  '/proc/fs',
  '/proc/acpi',
  '/proc/scsi',
  '/proc/mtrr',
  '/proc/driver',
  '/sys',
];

export function kernelMounts(host: HostFiles): readonly Mount[] {
  return [
    { kind: 'dev', target: '/dev' },
    { kind: 'proc', target: '/proc' },
    ...realPaths(KERNEL_KNOBS, host).map(
      path => ({ kind: 'bind', source: path, target: path, writable: false }) as const,
    ),
  ];
}

function bindsOf(spec: CommandSpec, host: HostFiles): readonly Mount[] {
  const programs = { source: RUN_PROGRAMS, target: RUN_PROGRAMS, writable: false };
  // A working directory of `/` means "nowhere in particular", not "let me write everywhere".
  const workdir = { source: spec.workdir, target: spec.workdir, writable: true };
  const wanted = [
    ...(host.realpath(RUN_PROGRAMS) === null ? [] : [programs]),
    ...spec.binds,
    ...(spec.workdir === '/' ? [] : [workdir]),
  ];
  return wanted.map(({ source, target, writable }) => {
    const real = host.realpath(source);
    if (real === null) throw new GatewayError('CONFIG_INVALID', `cannot bind ${source}: it does not exist`);
    return { kind: 'bind', source: real, target: posix.normalize(target), writable };
  });
}

/** Throws `CONFIG_INVALID` for a bind out of what stays hidden. */
export function refuseHiddenSource(mount: Mount, hidden: readonly string[]): void {
  if (mount.kind !== 'bind') return;
  const owner = hidden.find(path => isWithin(mount.source, path));
  if (owner === undefined) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    `cannot bind ${mount.source}: the gateway's own ${owner} stays hidden`,
  );
}

/** Each path's real one, without those that do not exist, each once. */
export function realPaths(paths: readonly string[], host: HostFiles): readonly string[] {
  const real = paths.map(path => host.realpath(path)).filter(path => path !== null);
  return [...new Set(real)];
}

/** The paths at which the sandbox would see `hidden`, a real path of the host. */
export function imagesOf(hidden: string, plan: readonly Mount[]): readonly string[] {
  const images = plan.flatMap(mount => {
    if (mount.kind !== 'bind' || !isWithin(hidden, mount.source)) return [];
    return [posix.join(mount.target, posix.relative(mount.source, hidden))];
  });
  return [...new Set(images)].filter(image => hostPathOf(image, plan) === hidden);
}

/** The path of the host that a path of the sandbox shows, symbolic links not followed; null for the sandbox's own. */
export function hostPathOf(path: string, plan: readonly Mount[]): string | null {
  const mount = plan.findLast(({ target }) => isWithin(path, target));
  if (mount?.kind !== 'bind') return null;
  return posix.join(mount.source, posix.relative(mount.target, path));
}

/** Whether `path` is `folder` or below it. Both normalised. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
