/**
 * The sandboxes of a home folder, on disk (shell: reads and writes files).
 *
 * `sandboxes/ID/` is one sandbox: `sandbox.json`, written whole and renamed into place by whoever holds `lock`;
 * `machine/`, the backend's own; `control.sock`, while somebody holds it; `events.jsonl`, `supervisor.log` and
 * `console.log`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorCode } from '../core/errors.js';
import { ErrInvalidConfig, ErrVMUnreachable, removeTree } from '../vm/index.js';
import { type Lock, lockWithin, tryLock } from './locks.js';
import { emitRecord, parseRecord, type SandboxRecord } from './record.js';

export interface SandboxPaths {
  readonly folder: string;
  readonly lock: string;
  readonly record: string;
  readonly machine: string;
  readonly socket: string;
  readonly events: string;
  readonly log: string;
  /** And beside it an older one. */
  readonly console: string;
}

/** Creating and removing take a moment: longer than this, somebody is stuck. */
const HOME_LOCK_MS = 10_000;

const ID = /^[0-9a-f]{12}$/;

export class Store {
  readonly homeDir: string;
  readonly #sandboxes: string;

  private constructor(homeDir: string) {
    this.homeDir = homeDir;
    this.#sandboxes = join(homeDir, 'sandboxes');
  }

  /** Makes the folders. Throws `VM_CONFIG_INVALID` for a home that others can write. */
  static async open(homeDir: string): Promise<Store> {
    const store = new Store(resolve(homeDir));
    await mkdir(store.homeDir, { recursive: true, mode: 0o700 });
    await refuseShared(store.homeDir);
    await mkdir(store.#sandboxes, { recursive: true, mode: 0o700 });
    await refuseShared(store.#sandboxes);
    await chmod(store.#sandboxes, 0o700);
    return store;
  }

  pathsOf(id: string): SandboxPaths {
    const folder = join(this.#sandboxes, id);
    return {
      folder,
      lock: join(folder, 'lock'),
      record: join(folder, 'sandbox.json'),
      machine: join(folder, 'machine'),
      socket: join(folder, 'control.sock'),
      events: join(folder, 'events.jsonl'),
      log: join(folder, 'supervisor.log'),
      console: join(folder, 'console.log'),
    };
  }

  /** One at a time, of all processes: names stay unique. Throws `VM_UNREACHABLE` where another never ends. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const lock = await lockWithin(join(this.homeDir, 'lock'), HOME_LOCK_MS);
    if (lock === null) throw new ErrVMUnreachable(`another process keeps the lock of ${this.homeDir}`);
    try {
      return await work();
    } finally {
      lock.release();
    }
  }

  /** In order of their making. One whose file cannot be read is left out: its folder says what it is. */
  async list(): Promise<readonly SandboxRecord[]> {
    const ids = (await readdir(this.#sandboxes)).filter(id => ID.test(id));
    const records = ids.map(id => this.read(id)).filter(record => record !== null);
    return records.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  /** Null where there is none, or a half-made one. */
  read(id: string): SandboxRecord | null {
    if (!ID.test(id)) return null;
    try {
      return parseRecord(readFileSync(this.pathsOf(id).record, 'utf8'));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || error instanceof ErrInvalidConfig) return null;
      throw error;
    }
  }

  async find(idOrName: string): Promise<SandboxRecord | null> {
    const own = this.read(idOrName);
    return own ?? (await this.list()).find(({ name }) => name === idOrName) ?? null;
  }

  /** Makes the folder of a new sandbox. */
  async add(record: SandboxRecord): Promise<void> {
    const paths = this.pathsOf(record.id);
    await mkdir(paths.machine, { recursive: true, mode: 0o700 });
    await this.write(record);
  }

  /** Whole or not at all, whatever happens meanwhile. Only for who holds the sandbox's lock, or made it. */
  async write(record: SandboxRecord): Promise<void> {
    const { record: path } = this.pathsOf(record.id);
    const temporary = `${path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(emitRecord(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  }

  /** The sandbox's lock, or null while somebody holds the sandbox, or it is gone. */
  async lock(id: string, waitMs = 0): Promise<Lock | null> {
    const { folder, lock } = this.pathsOf(id);
    if (!existsSync(folder)) return null;
    return waitMs > 0 ? await lockWithin(lock, waitMs) : await tryLock(lock);
  }

  /** Removes what only a supervisor that lives has. Only for who holds the lock. */
  async clear(id: string): Promise<void> {
    await rm(this.pathsOf(id).socket, { force: true });
  }

  /** Only for who holds the lock. */
  async remove(id: string): Promise<void> {
    const { folder, record } = this.pathsOf(id);
    // First what makes it a sandbox: a removal that is cut short leaves a folder, not half a sandbox.
    await rm(record, { force: true });
    await removeTree(folder);
  }

  /** Folders that never became sandboxes, or are half removed. Only inside `exclusively`. */
  async sweep(): Promise<void> {
    const ids = (await readdir(this.#sandboxes)).filter(id => ID.test(id));
    for (const id of ids) {
      if (existsSync(this.pathsOf(id).record)) continue;
      const lock = await this.lock(id);
      if (lock === null) continue;
      await removeTree(this.pathsOf(id).folder);
      lock.release();
    }
  }
}

/** Whoever can write there could put their own commands and sockets in place of ours. */
async function refuseShared(folder: string): Promise<void> {
  const { uid, mode } = await lstat(folder);
  const owner = process.getuid?.() ?? uid;
  if (uid === owner && (mode & 0o022) === 0) return;
  throw new ErrInvalidConfig(`${folder} can be written by others: chmod 700 it, or choose another home`);
}
