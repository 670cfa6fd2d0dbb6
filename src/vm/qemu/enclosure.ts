/**
 * What the VMM sees of the host: itself, what it loads, and the machine's own files (pure: arguments of bubblewrap).
 *
 * Its network namespace has no interface, so that who breaks out of the machine is nowhere.
 */
export interface Enclosure {
  /** Absolute path of the VMM. */
  readonly program: string;
  /** Folders and files of the host that it loads, at their own paths. */
  readonly system: readonly string[];
  /** Symbolic links of the host's root, `/lib` → `usr/lib`. */
  readonly links: ReadonlyMap<string, string>;
  readonly files: readonly VmmFile[];
  readonly kvm: boolean;
  /** Real root without a user namespace around it has none. */
  readonly identity: { readonly uid: number; readonly gid: number } | null;
  /** It has no door: then it gets an empty network of its own. */
  readonly unshareNet: boolean;
}

export interface VmmFile {
  readonly source: string;
  /** Where the VMM finds it. */
  readonly target: string;
  readonly writable: boolean;
}

export function enclosureArgs({
  system,
  links,
  files,
  kvm,
  identity,
  unshareNet,
  program,
}: Enclosure): readonly string[] {
  return [
    ...(identity === null ? [] : ['--unshare-user', '--uid', `${identity.uid}`, '--gid', `${identity.gid}`]),
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...(unshareNet ? ['--unshare-net'] : []),
    ...['--hostname', 'vmm', '--cap-drop', 'ALL', '--die-with-parent', '--new-session', '--clearenv'],
    ...['--tmpfs', '/', '--dev', '/dev', '--proc', '/proc', '--dir', '/tmp'],
    ...system.flatMap(path => ['--ro-bind', path, path]),
    ...[...links].flatMap(([path, target]) => ['--symlink', target, path]),
    ...['--ro-bind', program, program],
    ...files.flatMap(({ source, target, writable }) => [writable ? '--bind' : '--ro-bind', source, target]),
    ...(kvm ? ['--dev-bind', '/dev/kvm', '/dev/kvm'] : []),
    ...['--remount-ro', '/', '--chdir', '/'],
  ];
}
