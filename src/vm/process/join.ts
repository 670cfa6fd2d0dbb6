/**
 * The way into a machine that runs: the arguments of nsenter and of the bubblewrap behind it.
 *
 * Pure. nsenter joins the machine's namespaces with every capability over them and gives none of them to the command:
 * bubblewrap drops them all, in a user namespace of the command's own, and sets the system call filter. It mounts
 * nothing but the root as it is, so that no path of the sandbox's making is looked up with rights.
 */
import type { Identity } from './bwrap.js';

/** Processes whose namespaces are entered. */
export interface Whereabouts {
  /** Holds the user namespace that the machine's others belong to; null where there is none. */
  readonly userNamespaceOf: number | null;
  readonly networkOf: number;
  /** A process inside the machine. */
  readonly inside: number;
}

export function joinArgs({ userNamespaceOf, networkOf, inside }: Whereabouts): readonly string[] {
  // The credentials are kept because the user namespace maps just one user and no groups.
  const user =
    userNamespaceOf === null ? [] : [`--user=/proc/${userNamespaceOf}/ns/user`, '--preserve-credentials'];
  const others = ['mnt', 'pid', 'ipc', 'uts'].map(name => {
    return `--${name === 'mnt' ? 'mount' : name}=/proc/${inside}/ns/${name}`;
  });
  return [...user, `--net=/proc/${networkOf}/ns/net`, ...others, '--'];
}

export interface InnerInput {
  readonly identity: Identity | null;
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir: string;
  /** False on a terminal: there the command makes its own session, with the terminal in control of it. */
  readonly ownSession: boolean;
  readonly statusFd: number;
  readonly seccompFd: number;
}

export function innerArgs(input: InnerInput): readonly string[] {
  const { identity } = input;
  return [
    ...(identity === null ? [] : ['--unshare-user', '--uid', `${identity.uid}`, '--gid', `${identity.gid}`]),
    ...['--dev-bind', '/', '/', '--cap-drop', 'ALL'],
    ...(input.ownSession ? ['--new-session'] : []),
    ...['--seccomp', `${input.seccompFd}`, '--json-status-fd', `${input.statusFd}`],
    ...['--chdir', input.workingDir],
    ...[...input.env].flatMap(([name, value]) => ['--setenv', name, value]),
  ];
}
