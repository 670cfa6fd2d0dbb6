/** What runs in a sandbox, and what is known of it while it runs. */
import type { Readable, Writable } from 'node:stream';

/** A directory or file of the host that the sandbox sees. Both paths are absolute. */
export interface Bind {
  readonly source: string;
  readonly target: string;
  readonly writable: boolean;
}

/** A file that exists only in the sandbox, read-only. */
export interface DataFile {
  /** Absolute; an existing file of the host is covered, its symbolic links followed. */
  readonly path: string;
  readonly content: Uint8Array;
}

/** How much of this machine a sandbox of processes may take. Null: as much as there is. */
export interface Limits {
  readonly memoryBytes: number | null;
  /** Processors; may be a fraction. */
  readonly cpus: number | null;
  /** Processes and threads at a time. */
  readonly pids: number | null;
}

export type Stdio = 'inherit' | 'pipe' | 'ignore';

export interface CommandSpec {
  /** The program, looked up in the sandbox's PATH, and its arguments. */
  readonly argv: readonly [string, ...string[]];
  /** All of it: nothing of the gateway's own environment is added but `PWD`. */
  readonly env: ReadonlyMap<string, string>;
  /** Absolute. Writable, and where the command starts. */
  readonly workdir: string;
  readonly binds: readonly Bind[];
  /** The whole file system of the host, writable by whom it is writable; `hide` and `files` still hold. */
  readonly noFsIsolation: boolean;
  /** Directories and files of the host that stay invisible whatever else is bound: the state folder. */
  readonly hide: readonly string[];
  /** What the sandbox gets to see in place of the host's: trust bundles above all. */
  readonly files: readonly DataFile[];
  /** What the sandbox calls itself. */
  readonly hostname?: string;
  /** Absent: none. */
  readonly limits?: Limits;
  /** Tried behind names that are not whole (resolv.conf(5)). */
  readonly searchDomains?: readonly string[];
  readonly stdin: Stdio;
  readonly stdout: Stdio;
  readonly stderr: Stdio;
}

export interface CommandExit {
  /**
   * As a shell would say it: 128 + n for a command that signal n ended, 125 for a sandbox that could not be made
   * (its reason is on standard error).
   */
  readonly code: number;
  /** The signal that ended the command, where it is known. */
  readonly signal: NodeJS.Signals | null;
}

export interface RunningCommand {
  /** Of the outermost process, on the host. */
  readonly pid: number;
  /** What holds it to its limits, one sentence; absent where none are asked for. */
  readonly limits?: string;
  /** Never rejects. */
  readonly exit: Promise<CommandExit>;
  /** Null unless the spec says `pipe`. */
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** Signals the command itself, as `kill` would; SIGKILL ends all of the sandbox's processes of this command. */
  kill(signal: NodeJS.Signals): void;
}
