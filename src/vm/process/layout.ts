/**
 * What a machine of this host's own programs sees: a root of its own that it may write, with the host's programs and
 * settings over it, read-only.
 *
 * Pure: the host's files are asked through `HostFiles`. Nothing of the host is shown that is not named here or mounted
 * by the configuration.
 */
import { posix } from 'node:path';
import type { MountConfig, VFSConfig } from '../config.js';
import { ErrMountInvalidConfig } from '../errors.js';
import { type HostFiles, kernelMounts, type Mount, realPaths, refuseHiddenSource } from './mounts.js';

/** Programs, their libraries and their settings. */
const SYSTEM_FOLDERS = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/etc',
  '/opt',
  '/nix',
  '/gnu',
];

/** Of the host's settings, what is nobody's business: only root could read it, and root may be who runs us. */
export const PRIVATE_SETTINGS = [
  '/etc/shadow',
  '/etc/shadow-',
  '/etc/gshadow',
  '/etc/gshadow-',
  '/etc/sudoers',
  '/etc/sudoers.d',
  '/etc/ssh',
  '/etc/ssl/private',
  '/etc/krb5.keytab',
];

/** Folders that every root has, and whether all may write there. */
export const OWN_FOLDERS: ReadonlyMap<string, number> = new Map([
  ['/tmp', 0o1777],
  ['/run', 0o755],
  ['/home', 0o755],
  ['/root', 0o700],
  ['/mnt', 0o755],
  ['/srv', 0o755],
  ['/var', 0o755],
  ['/var/tmp', 0o1777],
  ['/var/lib', 0o755],
  ['/var/cache', 0o755],
  ['/var/log', 0o755],
  ['/proc', 0o555],
  ['/dev', 0o755],
  ['/sys', 0o555],
]);

export interface LayoutInput {
  /** The machine's own folders on the host: its root, and where what is mounted over may keep its changes. */
  readonly root: string;
  readonly vfs: VFSConfig;
  /** Real paths of the host that no mount may bring into view. */
  readonly hide: readonly string[];
}

export interface Layout {
  readonly plan: readonly Mount[];
  /** Made in the root before the start: folders, and links as the host's root has them. */
  readonly folders: readonly string[];
  readonly links: ReadonlyMap<string, string>;
  /** Empty files for mounts of single files. */
  readonly files: readonly string[];
}

/** Throws `ErrMountInvalidConfig` for what a process cannot have, and `CONFIG_INVALID` for what stays hidden. */
export function planLayout({ root, vfs, hide }: LayoutInput, host: HostFiles): Layout {
  const present = SYSTEM_FOLDERS.filter(path => host.kind(path) !== null);
  const links = new Map(
    present.flatMap(path => (host.kind(path) === 'symlink' ? [[path, host.readlink(path)] as const] : [])),
  );
  const system = present.filter(path => host.kind(path) === 'directory');
  const user = userMounts(vfs, hide, host);
  const plan: Mount[] = [
    { kind: 'bind', source: root, target: '/', writable: true },
    ...system.map(path => ({ kind: 'bind', source: path, target: path, writable: false }) as const),
    ...kernelMounts(host),
    // In memory: what the gateway lays into it has no file on the host.
    { kind: 'memory', target: '/run' },
    ...user.map(({ mount }) => mount),
  ];
  return {
    plan,
    folders: [...system, ...user.filter(({ isFile }) => !isFile).map(({ target }) => target)],
    links,
    files: user.filter(({ isFile }) => isFile).map(({ target }) => target),
  };
}

export interface UserMount {
  readonly target: string;
  readonly mount: Mount;
  /** A single file of the host. */
  readonly isFile: boolean;
}

/**
 * What the configuration mounts, the outer ones first: a mount below another's target would be covered by it. Throws
 * `ErrMountInvalidConfig`, and `CONFIG_INVALID` for what stays hidden.
 */
export function userMounts(vfs: VFSConfig, hide: readonly string[], host: HostFiles): readonly UserMount[] {
  const hidden = realPaths(hide, host);
  const wanted = wantedMounts(vfs, host);
  for (const { mount } of wanted) refuseHiddenSource(mount, hidden);
  return wanted.map(({ target, mount }) => {
    return { target, mount, isFile: mount.kind === 'bind' && host.kind(mount.source) !== 'directory' };
  });
}

type WantedMount = Omit<UserMount, 'isFile'>;

function wantedMounts(
  { directMounts = {}, mounts = {} }: VFSConfig,
  host: HostFiles,
): readonly WantedMount[] {
  const direct = Object.entries(directMounts).map(([target, { hostPath, readonly = false }]) =>
    bindMount(target, hostPath, !readonly, host),
  );
  const typed = Object.entries(mounts).map(([target, config]) => typedMount(target, config, host));
  return [...direct, ...typed].sort((a, b) => a.target.length - b.target.length);
}

function typedMount(target: string, config: MountConfig, host: HostFiles): WantedMount {
  switch (config.type) {
    case 'memory':
      return { target, mount: { kind: 'memory', target } };
    case 'real_fs':
      return bindMount(target, config.hostPath ?? '', config.readonly !== true, host);
    case 'overlay':
      throw new ErrMountInvalidConfig(
        `invalid mount config: ${target}: the process backend has no overlay; take the backend qemu`,
      );
  }
}

function bindMount(target: string, hostPath: string, writable: boolean, host: HostFiles): WantedMount {
  const source = host.realpath(hostPath);
  if (source === null) {
    throw new ErrMountInvalidConfig(
      `invalid mount config: ${target}: ${hostPath} does not exist on the host`,
    );
  }
  return { target, mount: { kind: 'bind', source, target: posix.normalize(target), writable } };
}
