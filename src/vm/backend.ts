/**
 * What every kind of machine offers, so that Runtime, CLI and tests need not know which one they hold.
 *
 * Pure types. A machine is started once, takes any number of commands at a time while it runs, and is closed. It
 * knows nothing of policies: its way to the network is the `MachineDoor` that the gateway opened for it.
 */
import type { Readable, Writable } from 'node:stream';
import type { ForwardEvent } from '../net/forwards/index.js';
import type { Cell, Tap } from '../net/vestibule/index.js';
import type { DataFile } from './command.js';
import type { DiskMount, HostIPMapping, ImageConfig, PortForward, Resources, VFSConfig } from './config.js';

export interface Backend {
  /** `process`, `qemu`. */
  readonly name: string;
  /** What its machines plug into: the interface of a door's cell, or a TAP that the door is opened with. */
  readonly link: 'cell' | 'tap';
  /** Prepares; nothing runs before `start`. Throws `VM_CONFIG_INVALID` for what this backend cannot give. */
  create(config: VMConfig): Promise<Machine>;
  /** Ends and removes what a machine of this state folder left behind when its owner was killed. Idempotent. */
  reap?(stateDir: string): Promise<void>;
}

/** The gateway's side of a machine's network: where its interface goes, and what makes it trust the gateway. */
export interface MachineDoor {
  readonly cell: Cell;
  /** Null unless the door was opened with one; then the cell has no interface. */
  readonly tap: Tap | null;
  /** PEM, one certificate. */
  readonly caPem: string;
  /** Variables of the secrets, with placeholders for values. */
  readonly secretEnv: ReadonlyMap<string, string>;
  /** For a machine that shares the host's files: merged trust bundles, and the variables that name them. */
  readonly trustFiles: readonly DataFile[];
  readonly trustEnv: ReadonlyMap<string, string>;
}

/** A machine's port of a bridge of the host: nobody judges what goes through it. */
export interface BridgedLink {
  /** Of the bridge. */
  readonly name: string;
  /** A TAP, as this process holds it; the opener's to close. */
  readonly fd: number;
  readonly mtu: number;
  readonly address?: string;
  readonly router?: string;
  readonly nameServers: readonly string[];
}

export interface VMConfig {
  readonly id: string;
  /** Of this machine alone, 0700, kept until the sandbox is removed. Whatever it keeps on disk is in here. */
  readonly stateDir: string;
  /** Of the whole home: shared by machines (images, layers, kernels). */
  readonly homeDir: string;
  readonly image: string;
  readonly localBundlePath?: string;
  readonly imageConfig?: ImageConfig;
  readonly persist: boolean;
  readonly privileged: boolean;
  readonly resources: Resources;
  readonly vfs: VFSConfig;
  readonly extraDisks: readonly DiskMount[];
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir?: string;
  /** Null: the machine has no network interface at all. */
  readonly door: MachineDoor | null;
  /** In place of a door: a link past the gateway. */
  readonly bridge?: BridgedLink;
  readonly hostname: string;
  readonly addHosts: readonly HostIPMapping[];
  readonly searchDomains: readonly string[];
  readonly mtu?: number;
  readonly portForwards: readonly PortForward[];
  /** Told of every connection that comes in through a forward, when it begins and when it ends. */
  readonly onForward?: (event: ForwardEvent) => void;
  /** Told of what the guest writes on its console, where it has one. */
  readonly onConsole?: (bytes: Buffer) => void;
  /** Paths of the host that no mount may bring into view. */
  readonly hide: readonly string[];
}

export interface Machine extends AsyncDisposable {
  /** What its image, or the configuration in its place, says of the commands to run in it. */
  readonly imageConfig: ImageConfig;
  /** What holds it to its memory, processors and processes, one sentence. Complete once it runs. */
  readonly limits: string;
  /** What holds in another way than one may think: each a sentence for an operator. Complete once it runs. */
  readonly notes: readonly string[];
  /** The forwards that are open, with the ports that they got; empty while it does not run. */
  readonly forwards: readonly PortForward[];
  /** Of the machine's first process on the host; null while none runs. */
  readonly pid: number | null;
  /** The root file system on the host, where it is a folder or an image there; null otherwise. */
  readonly rootfsPath: string | null;
  /** Resolves when it takes commands. Once only. Throws `VM_START_FAILED`. */
  start(signal?: AbortSignal): Promise<void>;
  /** Asks it to end, waits `graceMs`, kills what is left. Resolves when nothing runs. Idempotent. */
  stop(options?: StopOptions): Promise<void>;
  /** Resolves when the machine has ended, whoever ended it. */
  wait(): Promise<MachineExit>;
  /** Runs a command to its end. Throws `TIMEOUT`, `LIMIT_EXCEEDED` (output), `COMMAND_NOT_FOUND`. */
  exec(command: string, options?: ExecOptions): Promise<ExecResult>;
  /** Starts a command and hands over its streams. */
  execStream(command: string, options?: ExecOptions): Promise<Execution>;
  /** Starts a command on a terminal of its own. */
  execInteractive(command: string, options?: InteractiveOptions): Promise<InteractiveExecution>;
  /** Makes or replaces a file, the folders on the way included. It is whole or the old one. */
  writeFile(path: string, content: FileContent, options?: WriteOptions): Promise<void>;
  readFile(path: string): Promise<Uint8Array>;
  /** The bytes as they come; an error ends the stream. */
  readFileStream(path: string): Promise<Readable>;
  /** What is in a folder, in order of names. Links are told, not followed. */
  listFiles(path: string): Promise<readonly FileInfo[]>;
  /** The files below `path` whose path from there fits a glob: `*`, `?`, `[a-z]`, `**` over folders. */
  searchFiles(path: string, pattern: string): Promise<readonly FileInfo[]>;
  /** Stops it and frees what it holds; its state folder stays. Idempotent. */
  close(): Promise<void>;
}

export interface StopOptions {
  /** Default: `DEFAULT_GRACEFUL_SHUTDOWN_PERIOD`. */
  readonly graceMs?: number;
}

export interface MachineExit {
  /** `stopped`: asked for. `ended`: it ended by itself, or was killed from outside. */
  readonly reason: 'stopped' | 'ended';
  /** One sentence for an operator; empty when there is nothing to say. */
  readonly message: string;
}

export interface ExecOptions {
  /**
   * With `args` the command is a program, looked up in the PATH, and these are its arguments. Without, it is a line
   * for `sh -c`.
   */
  readonly args?: readonly string[];
  /** On top of the sandbox's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute. Default: the configuration's, or else the workspace. */
  readonly workingDir?: string;
  /** A name or number known in the sandbox, `user:group` too. Default: the image's, or else root of the sandbox. */
  readonly user?: string;
  /** Default: `resources.timeoutSeconds`; 0: none. When it is over, the command's whole process group is killed. */
  readonly timeoutMs?: number;
  /** What it reads: all of it at once, or a stream. Default: nothing. `pipe` (execStream only): the caller writes. */
  readonly stdin?: Uint8Array | string | Readable | 'pipe';
  /** Kills the command. */
  readonly signal?: AbortSignal;
  /** Of each stream, for `exec` only: more ends the command. Default: 16 MiB. */
  readonly maxOutputBytes?: number;
  /** A terminal for standard input, output and error: then there is no separate standard error. */
  readonly tty?: boolean;
}

export interface InteractiveOptions extends Omit<ExecOptions, 'stdin' | 'tty' | 'maxOutputBytes'> {
  /** Default: 24 by 80. */
  readonly rows?: number;
  readonly cols?: number;
}

/** How a command ended. */
export interface ExecExit {
  /** 128 + n when signal n ended it. */
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
  /** Its time was over. */
  readonly timedOut: boolean;
  readonly durationMs: number;
}

export interface ExecResult extends ExecExit {
  /** As UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A command that runs. Its streams hold back the command while nobody reads them, and end soon after it, also where it
 * left something in the background that still holds them.
 */
export interface Execution {
  /** In the machine, where it is known. */
  readonly pid: number | null;
  /** Null unless the options say `pipe`. */
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never rejects; it settles whether or not the streams are read. */
  readonly exit: Promise<ExecExit>;
  /** To the command's process group. */
  kill(signal?: NodeJS.Signals): void;
}

export interface InteractiveExecution {
  readonly pid: number | null;
  /** What is typed. */
  readonly stdin: Writable;
  /** What the terminal shows. */
  readonly stdout: Readable;
  readonly exit: Promise<ExecExit>;
  resize(rows: number, cols: number): void;
  kill(signal?: NodeJS.Signals): void;
}

export type FileContent = Uint8Array | string | Readable;

export interface WriteOptions {
  /** Permission bits. Default: 0644. */
  readonly mode?: number;
}

export type FileKind = 'file' | 'directory' | 'symlink' | 'other';

export interface FileInfo {
  /** Last part of the path. */
  readonly name: string;
  /** Absolute, in the sandbox. */
  readonly path: string;
  readonly kind: FileKind;
  readonly isDir: boolean;
  readonly sizeBytes: number;
  /** Permission bits, set-user-id and sticky among them. */
  readonly mode: number;
  /** Milliseconds since the Unix epoch. */
  readonly modifiedMs: number;
}
