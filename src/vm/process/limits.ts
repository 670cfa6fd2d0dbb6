/**
 * How much of this machine a sandbox of processes may take, as control groups and resource limits say it.
 *
 * Pure: texts of /proc in, files and arguments out (cgroups(7), getrlimit(2)).
 */
import { posix } from 'node:path';
import type { Limits } from '../command.js';

/** A folder of control groups in which a group of our own may be made, and what is written into the group's files. */
export interface Place {
  readonly version: 1 | 2;
  /** Where groups are made; the first that can be is taken. Without those of other controllers. */
  readonly parents: readonly string[];
  readonly controllers: readonly Controller[];
}

export type Controller = 'memory' | 'cpu' | 'pids';
const CONTROLLERS: readonly Controller[] = ['memory', 'cpu', 'pids'];

interface Hierarchy {
  readonly controllers: readonly string[];
  readonly path: string;
}

/**
 * The places of this process, by /proc/self/cgroup and /proc/self/mountinfo. Version 2 has one for all controllers, in
 * our own group or beside it, version 1 one for each.
 */
export function placesOf(cgroups: string, mountinfo: string): readonly Place[] {
  const mounts = mountsOf(mountinfo);
  return cgroups.split('\n').flatMap(line => {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match === null) return [];
    const hierarchy = { controllers: (match[1] ?? '').split(','), path: match[2] ?? '/' };
    const isUnified = match[1] === '';
    const mount = mounts.find(({ type, options }) =>
      isUnified
        ? type === 'cgroup2'
        : type === 'cgroup' && hierarchy.controllers.every(name => options.includes(name)),
    );
    const place = mount === undefined ? null : placeIn(mount, hierarchy, isUnified);
    return place === null ? [] : [place];
  });
}

interface CgroupMount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** proc_pid_mountinfo(5) */
function mountsOf(mountinfo: string): readonly CgroupMount[] {
  return mountinfo.split('\n').flatMap(line => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', point = ''] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    return [{ root: unescaped(root), point: unescaped(point), type, options: options.split(',') }];
  });
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function placeIn(
  { root, point }: CgroupMount,
  { controllers, path }: Hierarchy,
  isUnified: boolean,
): Place | null {
  const below = posix.relative(root, path);
  // So the kernel tells of a group outside the namespace of groups, or outside what is mounted.
  if (below.startsWith('..') || path.split('/').includes('..')) return null;
  const own = posix.join(point, below);
  if (!isUnified) {
    const known = CONTROLLERS.filter(name => controllers.includes(name));
    return known.length === 0 ? null : { version: 1, parents: [own], controllers: known };
  }
  // A group with processes of its own cannot give controllers to groups below it; then the one above may.
  const parents = own === point ? [own] : [own, posix.dirname(own)];
  return { version: 2, parents, controllers: CONTROLLERS };
}

const PERIOD_US = 100_000;
/** Less is refused. */
const LEAST_QUOTA_US = 1_000;

/** Names of files in the group, and what is written there. One that a kernel may lack has `optional`. */
export function groupFiles(
  { version, controllers }: Place,
  { memoryBytes, cpus, pids }: Limits,
): readonly GroupFile[] {
  const quota = cpus === null ? 0 : Math.max(LEAST_QUOTA_US, Math.round(cpus * PERIOD_US));
  const all: readonly (GroupFile & { readonly controller: Controller; readonly wanted: boolean })[] = [
    ...(version === 2
      ? ([
          ['memory.max', 'memory', memoryBytes, false],
          ['memory.swap.max', 'memory', memoryBytes === null ? null : 0, true],
          ['cpu.max', 'cpu', cpus === null ? null : `${quota} ${PERIOD_US}`, false],
        ] as const)
      : ([
          ['memory.limit_in_bytes', 'memory', memoryBytes, false],
          ['memory.memsw.limit_in_bytes', 'memory', memoryBytes, true],
          ['cpu.cfs_quota_us', 'cpu', cpus === null ? null : quota, false],
        ] as const)),
    ['pids.max', 'pids', pids, false] as const,
  ].map(([name, controller, value, optional]) => {
    return { name, controller, text: `${value}`, optional, wanted: value !== null };
  });
  return all.filter(({ controller, wanted }) => wanted && controllers.includes(controller));
}

export interface GroupFile {
  readonly name: string;
  readonly text: string;
  readonly optional: boolean;
}

export function controllersFor({ memoryBytes, cpus, pids }: Limits): readonly Controller[] {
  const wanted = { memory: memoryBytes, cpu: cpus, pids };
  return CONTROLLERS.filter(name => wanted[name] !== null);
}

/**
 * Arguments of prlimit(1) for what no control group holds. Data: what a process may write, so that programs which
 * reserve addresses by the gigabyte still run, as they would not under a limit of their addresses.
 */
export function rlimitArgs({ memoryBytes, pids }: Limits): readonly string[] {
  return [
    ...(memoryBytes === null ? [] : [`--data=${memoryBytes}:${memoryBytes}`]),
    ...(pids === null ? [] : [`--nproc=${pids}:${pids}`]),
  ];
}

/** Runs the program behind the files' names, in the groups whose `cgroup.procs` they are. */
export const JOIN_GROUPS =
  'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1" || exit 125; shift; n=$((n-1)); done; exec "$@"';

const MIB = 1024 * 1024;

/** One sentence for an operator. */
export function limitsText(limits: Limits, held: ReadonlySet<Controller>, isRoot: boolean): string {
  const { memoryBytes, cpus, pids } = limits;
  const memory = memoryBytes === null ? null : `memory ${Math.round(memoryBytes / MIB)} MiB`;
  const parts = [
    memory &&
      (held.has('memory') ? `${memory} by a control group` : `${memory} for each process, by RLIMIT_DATA`),
    cpus === null ? null : `processors ${cpus} ${held.has('cpu') ? 'by a control group' : 'NOT held'}`,
    pids === null
      ? null
      : `processes ${pids} ${held.has('pids') ? 'by a control group' : isRoot ? 'NOT held' : 'by RLIMIT_NPROC'}`,
  ].filter(part => part !== null);
  if (parts.length === 0) return 'none';
  const isWhole = controllersFor(limits).every(name => held.has(name));
  return `${parts.join('; ')}${isWhole ? '' : ' (no control group with these controllers is ours to make)'}`;
}
