/**
 * What a machine writes on its console, kept for an operator (shell: writes files).
 *
 * A hostile guest writes without end: two files are kept, the older one whole, and what comes faster than the disk
 * takes it is left out. Nothing here holds up the machine, and nothing that fails here ends it.
 */
import { type FileHandle, open, rename, stat } from 'node:fs/promises';

/** Of one of the two files. */
const MOST_BYTES = 1024 * 1024;
const MOST_QUEUED = 256 * 1024;

/** The files of the console at `path`, the older one first. */
export function consoleFiles(path: string): readonly string[] {
  return [`${path}.1`, path];
}

export class ConsoleLog {
  readonly #path: string;
  #file: FileHandle | null = null;
  #size = 0;
  #queue: Buffer[] = [];
  #queued = 0;
  #left = 0;
  #draining: Promise<void> | null = null;

  /** Nothing is made before the first byte. */
  constructor(path: string) {
    this.#path = path;
  }

  write(bytes: Buffer): void {
    if (this.#queued + bytes.length > MOST_QUEUED) this.#left += bytes.length;
    else {
      this.#queue.push(bytes);
      this.#queued += bytes.length;
    }
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = null;
    });
  }

  async #drain(): Promise<void> {
    while (this.#queued > 0 || this.#left > 0) {
      const gap = this.#left === 0 ? '' : `\n[${this.#left} bytes came too fast to be kept]\n`;
      const batch = Buffer.concat([...this.#queue, Buffer.from(gap)]);
      this.#queue = [];
      this.#queued = this.#left = 0;
      try {
        await this.#append(batch);
      } catch {
        // A disk that is full costs the console, not the machine.
      }
    }
  }

  async #append(batch: Buffer): Promise<void> {
    if (this.#size + batch.length > MOST_BYTES) {
      await this.#file?.close();
      this.#file = null;
      await rename(this.#path, `${this.#path}.1`);
    }
    if (this.#file === null) {
      this.#file = await open(this.#path, 'a', 0o600);
      this.#size = (await stat(this.#path)).size;
    }
    await this.#file.appendFile(batch);
    this.#size += batch.length;
  }

  async close(): Promise<void> {
    await this.#draining;
    await this.#file?.close();
    this.#file = null;
  }
}
