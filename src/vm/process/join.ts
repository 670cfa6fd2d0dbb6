/**
 * The way into a machine that runs: the arguments of nsenter and of the bubblewrap behind it.
 *
 * Pure. nsenter joins the machine's namespaces with every capability over them and gives none of them to the command:
 * bubblewrap drops them all, in a user namespace of the command's own, and sets the system call filter. It mounts
 * nothing but the root as it is, so that no path of the sandbox's making is looked up with rights.
 *
 * Where the machine's root is an image's, not even bubblewrap's own libraries could be trusted there. It then works on
 * the host's files, and `enter` (programs.ts) makes the machine's root the command's, with no right left behind.
 */
import { nsenterArgs, type Tools } from '../../net/vestibule/index.js';
import type { Identity } from './bwrap.js';

/** Processes whose namespaces are entered. */
export interface Whereabouts {
  /** Holds the user namespace that the machine's others belong to; null where there is none. */
  readonly userNamespaceOf: number | null;
  readonly networkOf: number;
  /** A process inside the machine. */
  readonly inside: number;
  /**
   * In the mount namespace that the programs before the command are started in: one with the machine's root, or where
   * that holds a stranger's programs, one with the host's files and the machine's /proc.
   */
  readonly mountsOf: number;
}

export function joinArgs({ userNamespaceOf, networkOf, inside, mountsOf }: Whereabouts): readonly string[] {
  // The credentials are kept because the user namespace maps just one user and no groups.
  const user =
    userNamespaceOf === null ? [] : [`--user=/proc/${userNamespaceOf}/ns/user`, '--preserve-credentials'];
  const others = ['pid', 'ipc', 'uts'].map(name => `--${name}=/proc/${inside}/ns/${name}`);
  return [...user, `--net=/proc/${networkOf}/ns/net`, `--mount=/proc/${mountsOf}/ns/mnt`, ...others, '--'];
}

/** What a command is enclosed in before it has a machine of its own. */
export interface Enclosure {
  /** In the network namespace. Null where there is no door: one of its own, with nothing but `lo`. */
  readonly pid: number | null;
  readonly userNamespace: boolean;
  readonly tools: Tools;
  /** In the user and mount namespaces that a root was put together in; absent: those of the host. */
  readonly stagePid?: number;
}

/** The program, with its arguments, that leads into an enclosure; empty where there is nothing to enter yet. */
export function intoArgs(tools: Tools, { pid, userNamespace, stagePid }: Enclosure): readonly string[] {
  if (stagePid === undefined) return pid === null ? [] : [tools.nsenter, ...nsenterArgs(pid, userNamespace)];
  return [
    tools.nsenter,
    ...(userNamespace ? [`--user=/proc/${stagePid}/ns/user`, '--preserve-credentials'] : []),
    ...(pid === null ? [] : [`--net=/proc/${pid}/ns/net`]),
    ...[`--mount=/proc/${stagePid}/ns/mnt`, '--'],
  ];
}

/** What `enter` needs, and gives up. */
export const ENTER_CAPABILITIES: readonly string[] = ['CAP_SYS_CHROOT', 'CAP_SETPCAP'];

export interface InnerInput {
  readonly identity: Identity | null;
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir: string;
  /** False on a terminal: there the command makes its own session, with the terminal in control of it. */
  readonly ownSession: boolean;
  /** What the program that is started keeps, over nothing but its own user namespace. */
  readonly capabilities: readonly string[];
  readonly statusFd: number;
  readonly seccompFd: number;
}

export function innerArgs(input: InnerInput): readonly string[] {
  const { identity } = input;
  return [
    ...(identity === null ? [] : ['--unshare-user', '--uid', `${identity.uid}`, '--gid', `${identity.gid}`]),
    ...['--dev-bind', '/', '/', '--cap-drop', 'ALL'],
    ...input.capabilities.flatMap(name => ['--cap-add', name]),
    ...(input.ownSession ? ['--new-session'] : []),
    ...['--seccomp', `${input.seccompFd}`, '--json-status-fd', `${input.statusFd}`],
    ...['--chdir', input.workingDir],
    ...[...input.env].flatMap(([name, value]) => ['--setenv', name, value]),
  ];
}
