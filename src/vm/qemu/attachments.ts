/**
 * What a machine mounts beside its root: folders of the host, memory, overlays, disks.
 *
 * Pure: a plan out of a configuration. The guest's first program is told by words of the kernel's command line, whose
 * paths `validateGuestMount` keeps to letters that no shell reads.
 */
import type { DiskMount, MountConfig, VFSConfig } from '../config.js';
import { ErrMountInvalidConfig } from '../errors.js';
import { guestMountProblem } from '../mount-spec.js';
import type { DiskFile } from './command-line.js';

/** A folder of the host, served to one machine. */
export interface Share {
  /** The guest finds it by this name. */
  readonly tag: string;
  readonly hostPath: string;
  readonly readonly: boolean;
}

export interface Attachments {
  readonly shares: readonly Share[];
  /** `source` is the file on the host. */
  readonly disks: readonly (DiskFile & { readonly source: string })[];
  /** In the order in which they are mounted: the outer ones first. */
  readonly words: readonly string[];
}

interface Planned {
  readonly shares: Share[];
  readonly disks: (DiskFile & { readonly source: string })[];
  readonly words: string[];
}

/** Throws `MOUNT_CONFIG_INVALID` for what a machine cannot have. */
export function planAttachments(
  { directMounts = {}, mounts = {} }: VFSConfig,
  extraDisks: readonly DiskMount[],
): Attachments {
  const plan: Planned = { shares: [], disks: [], words: [] };
  const all: { readonly path: string; readonly add: () => void }[] = [
    ...Object.entries(directMounts).map(([path, mount]) => ({
      path,
      add: () => addMount(plan, path, { type: 'real_fs', ...mount }),
    })),
    ...Object.entries(mounts).map(([path, mount]) => ({ path, add: () => addMount(plan, path, mount) })),
    ...extraDisks.map(disk => ({ path: disk.guestMount, add: () => addDisk(plan, disk) })),
  ];
  const taken = new Set<string>();
  for (const { path } of all) {
    const problem = taken.has(path) ? 'something else is mounted there' : guestMountProblem(path);
    if (problem !== null) throw new ErrMountInvalidConfig(`invalid mount config: ${path}: ${problem}`);
    taken.add(path);
  }
  for (const { add } of [...all].sort((a, b) => a.path.length - b.path.length)) add();
  return plan;
}

function addMount(plan: Planned, path: string, mount: MountConfig): void {
  switch (mount.type) {
    case 'memory':
      plan.words.push(word('memory', '-', mount.readonly === true, path));
      return;
    case 'real_fs':
      plan.words.push(word('share', addShare(plan, path, mount), mount.readonly === true, path));
      return;
    case 'overlay':
      addOverlay(plan, path, mount);
  }
}

function addShare(plan: Planned, path: string, { hostPath, readonly }: MountConfig): string {
  if (hostPath === undefined || hostPath === '') {
    throw new ErrMountInvalidConfig(`invalid mount config: ${path}: host_path is empty`);
  }
  const tag = `share${plan.shares.length}`;
  plan.shares.push({ tag, hostPath, readonly: readonly === true });
  return tag;
}

/** The layer below is a folder of the host that is only read; what is written goes to the guest's memory. */
function addOverlay(plan: Planned, path: string, { lower, upper }: MountConfig): void {
  const problem = (text: string): Error =>
    new ErrMountInvalidConfig(`invalid mount config: ${path}: ${text}`);
  if (lower === undefined || upper === undefined) throw problem('an overlay has a lower and an upper');
  if (lower.type !== 'real_fs') throw problem(`a lower of type ${lower.type} is not supported: take real_fs`);
  if (upper.type !== 'memory') throw problem(`an upper of type ${upper.type} is not supported: take memory`);
  const tag = addShare(plan, path, { ...lower, readonly: true });
  plan.words.push(word('overlay', tag, false, path));
}

function addDisk(plan: Planned, { hostPath, guestMount, readonly = false }: DiskMount): void {
  const name = `extra${plan.disks.length}`;
  plan.disks.push({ name, path: `/vm/${name}`, source: hostPath, format: 'raw', readonly, scratch: false });
  plan.words.push(word('disk', name, readonly, guestMount));
}

function word(kind: string, source: string, readonly: boolean, path: string): string {
  return `sp.mount=${kind},${source},${readonly ? 'ro' : 'rw'},${path}`;
}
