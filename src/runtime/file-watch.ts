/**
 * What happens to the files of a sandbox's workspace and mounts, as events (shell: watches folders, one timer).
 *
 * The tree is a stranger's: links are told and never followed, and there is an end to how many folders and files are
 * held in memory. What is past it is told once.
 */
import { type FSWatcher, type Stats, watch } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { FileEvent } from '../events/event.js';

export interface WatchRoot {
  readonly hostPath: string;
  readonly guestPath: string;
}

export type FileTold = (file: FileEvent) => void;

const MAX_FOLDERS = 1_024;
const MAX_FILES = 16_384;
/** Several changes in so short a time are one. */
const SETTLE_MS = 50;

export class FileWatch {
  readonly #tell: FileTold;
  readonly #full: () => void;
  readonly #folders = new Map<string, FSWatcher>();
  /** What each path was when it was last told of. */
  readonly #known = new Map<string, string>();
  readonly #roots: WatchRoot[] = [];
  readonly #pending = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #working: Promise<void> = Promise.resolve();
  #closed = false;
  #isFull = false;

  /** `full` is called once, when there is more than can be watched. */
  constructor(tell: FileTold, full: () => void) {
    this.#tell = tell;
    this.#full = full;
  }

  /** Watches what is in `root` from now on; what is there already is not told. */
  async add(root: WatchRoot): Promise<void> {
    this.#roots.push(root);
    await this.#enter(root.hostPath, false);
  }

  /** Resolves when nothing is watched any more; what waited is told before. */
  async close(): Promise<void> {
    clearTimeout(this.#timer ?? undefined);
    await this.#flush();
    this.#closed = true;
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  async #enter(folder: string, told: boolean): Promise<void> {
    if (this.#closed || this.#folders.has(folder)) return;
    if (this.#folders.size >= MAX_FOLDERS) return this.#overflow();
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) =>
        this.#note(join(folder, name ?? '.')),
      );
      watcher.on('error', () => this.#leave(folder));
      this.#folders.set(folder, watcher);
      for (const name of await readdir(folder)) await this.#look(join(folder, name), told);
    } catch {
      this.#leave(folder); // It went, or is closed to us: there is nothing to tell of it.
    }
  }

  #leave(folder: string): void {
    this.#folders.get(folder)?.close();
    this.#folders.delete(folder);
  }

  #note(path: string): void {
    if (this.#pending.size < MAX_FILES) this.#pending.add(path);
    else this.#overflow();
    this.#timer ??= setTimeout(() => void this.#flush(), SETTLE_MS);
  }

  async #flush(): Promise<void> {
    this.#timer = null;
    const paths = [...this.#pending];
    this.#pending.clear();
    this.#working = this.#working.then(async () => {
      for (const path of paths) await this.#look(path, true);
    });
    await this.#working;
  }

  /** Compares what is at `path` with what was; tells of the difference, and goes into a new folder. */
  async #look(path: string, told: boolean): Promise<void> {
    if (this.#roots.some(({ hostPath }) => hostPath === path)) return;
    const stat = await lstat(path).catch(() => null);
    const before = this.#known.get(path);
    if (stat === null) return this.#gone(path, before);
    const now = `${stat.mode} ${stat.size} ${stat.mtimeMs} ${stat.ino}`;
    if (before === undefined && this.#known.size >= MAX_FILES) return this.#overflow();
    this.#known.set(path, now);
    const isFolder = stat.isDirectory();
    if (told && before === undefined) this.#report('create', path, stat);
    // A folder changes with each file in it, which is told by itself.
    else if (told && before !== now && !isFolder) this.#report('write', path, stat);
    if (isFolder) await this.#enter(path, told);
  }

  #gone(path: string, before: string | undefined): void {
    if (before === undefined) return;
    this.#known.delete(path);
    this.#leave(path);
    // A folder that was moved away takes all that is in it along, and says no word of that.
    const below = [...this.#known.keys()].filter(other => other.startsWith(`${path}/`));
    for (const other of below) {
      this.#known.delete(other);
      this.#leave(other);
    }
    this.#report('remove', path, null);
  }

  #report(op: FileEvent['op'], path: string, stat: Stats | null): void {
    const root = this.#roots.find(({ hostPath }) => path.startsWith(`${hostPath}/`));
    if (root === undefined) return;
    const size = stat?.isFile() === true ? stat.size : null;
    const mode = stat === null ? null : stat.mode & 0o7777;
    this.#tell({ op, path: join(root.guestPath, relative(root.hostPath, path)), size, mode });
  }

  #overflow(): void {
    if (!this.#isFull) this.#full();
    this.#isFull = true;
  }
}
