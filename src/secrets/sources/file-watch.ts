/**
 * Tells when what stands at a path is another file, or has been written to. A shell: watches and one timer a file.
 *
 * The folder is watched, so that a rename over the file is seen; a look every few seconds sees what a watch cannot: a
 * symbolic link anywhere above that now leads elsewhere, as Kubernetes swaps its volumes.
 */
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../../core/errors.js';

export const LOOK_MS = 2_000;
/** A writer's several steps are one change. */
const SETTLE_MS = 20;

export class FileWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  #watcher: FSWatcher | null = null;
  #settling: NodeJS.Timeout | null = null;
  #seen: string | null = null;

  /** Calls `onChange` once at the beginning too: the file may have changed since it was read. */
  constructor(path: string, onChange: () => void, lookMs = LOOK_MS) {
    this.#path = path;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#look(), lookMs).unref();
    this.#watch();
    void this.#look();
  }

  #watch(): void {
    try {
      this.#watcher = watch(dirname(this.#path), { persistent: false }, () => this.#soon());
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // No folder yet, or no watches left: the looks go on.
      this.#watcher = null;
    }
  }

  #soon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      void this.#look();
    }, SETTLE_MS).unref();
  }

  async #look(): Promise<void> {
    const now = await stateOf(this.#path);
    if (now === this.#seen) return;
    this.#seen = now;
    this.#onChange();
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#settling ?? undefined);
    this.#watcher?.close();
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return errorCode(error);
  }
}
