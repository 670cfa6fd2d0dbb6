/** The sandboxes of a home folder (shell: makes and removes them, and starts their supervisors). */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../core/errors.js';
import type { PullProgress } from '../vm/images/index.js';
import {
  ErrInvalidConfig,
  ErrNetworkUnsupportedPlatform,
  ErrVMExists,
  ErrVMNotFound,
  ErrVMState,
  ErrVMUnreachable,
  type NetworkConfig,
  type NetworkProfile,
} from '../vm/index.js';
import { backendOf, DEFAULT_BACKEND } from './backends.js';
import { type ConfigOptions, configFrom } from './config.js';
import { ensureImage, type ImageWish } from './image.js';
import { type Lifeline, launchSupervisor } from './launch.js';
import { isBridged, validateNetworkConfig } from './network.js';
import { profileOf } from './profiles.js';
import { isLive, type SandboxRecord, valuesOf } from './record.js';
import { infoOf, Sandbox, type SandboxInfo, type StartOptions } from './sandbox.js';
import { Store } from './store.js';

export interface RuntimeNetworkDefaults {
  readonly profile?: NetworkProfile;
  readonly config?: Partial<NetworkConfig>;
}

export interface RuntimeOptions {
  /** Default: `$SALLYPORT_STATE`, or `$XDG_STATE_HOME/sallyport`, or `~/.local/state/sallyport`. */
  readonly homeDir?: string;
  /** Where the interception authority is. Default: `ca` in the home. */
  readonly caDir?: string;
  /**
   * Where images without a registry in their name are looked for, the first one first. Default: `docker.io`. Empty: no
   * registry is asked for any.
   */
  readonly imageRegistries?: readonly string[];
  /** Of sandboxes that say nothing of a network. Default: the strict profile. */
  readonly networkDefaults?: RuntimeNetworkDefaults;
}

export interface CreateOptions extends ConfigOptions {
  /** Default: `process`. */
  readonly backend?: string;
  /** It outlives this process. Default: it ends with it, however that ends. */
  readonly detach?: boolean;
  /** Told how far an image is that has to be pulled. */
  readonly onPull?: ((progress: PullProgress) => void) | undefined;
  /** Ends a pull. */
  readonly signal?: AbortSignal | undefined;
}

/** What a `Sandbox` needs of its runtime. */
export interface RuntimeCore {
  readonly store: Store;
  current(id: string): Promise<SandboxRecord | null>;
  launch(record: SandboxRecord, options: StartOptions): Promise<void>;
  /** Whether nobody holds the sandbox any more, at the latest after `waitMs`. */
  settled(id: string, waitMs: number): Promise<boolean>;
  killSupervisor(record: SandboxRecord): Promise<void>;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

export class Runtime implements AsyncDisposable {
  readonly #options: RuntimeOptions;
  readonly #store: Promise<Store>;
  /** By the id of the sandbox. */
  readonly #lifelines = new Map<string, Lifeline & { readonly detach: boolean }>();
  /** Values of secrets, by the id of the sandbox: nowhere else. */
  readonly #values = new Map<string, ReadonlyMap<string, string>>();
  readonly #handles = new Set<Sandbox>();
  #closed = false;

  /** The home is opened, and what killed processes left behind is cleared away, before anything else is done. */
  constructor(options: RuntimeOptions = {}) {
    this.#options = options;
    this.#store = this.#recover(resolve(options.homeDir ?? defaultHome(process.env)));
    this.#store.catch(() => {}); // Told to whoever asks for something.
  }

  async #recover(homeDir: string): Promise<Store> {
    const store = await Store.open(homeDir);
    await store.exclusively(() => store.sweep());
    for (const record of await store.list()) await reconcile(store, record);
    return store;
  }

  /**
   * Makes a sandbox; nothing runs before its `start`. Without a name it is called by its id. Throws `VM_EXISTS`,
   * `VM_CONFIG_INVALID`, `NETWORK_CONFIG_INVALID`.
   */
  async create(name: string | null | undefined, options: CreateOptions = {}): Promise<Sandbox> {
    const store = await this.#opened();
    const { backend = DEFAULT_BACKEND, detach = false, onPull, signal, ...rest } = options;
    const { link } = backendOf(backend);
    const asked = configFrom(rest, { network: this.#defaultNetwork() });
    validateNetworkConfig(asked.network);
    if (isBridged(asked.network) && link !== 'tap')
      throw new ErrNetworkUnsupportedPlatform('only a machine can be bridged: take the backend qemu');
    const values = valuesOf(asked);
    refuseValuesIn(asked.env, values);
    const image = await ensureImage(asked, this.#images(store, { onPull, signal }));
    const config = { ...asked, image };
    const id = randomBytes(6).toString('hex');
    const record: SandboxRecord = {
      id,
      name: nameOf(name, id),
      backend,
      detach,
      state: 'created',
      message: '',
      createdAt: Date.now(),
      startedAt: null,
      endedAt: null,
      supervisorPid: null,
      literalSecrets: [...values.keys()],
      limits: '',
      notes: [],
      config,
    };
    await store.exclusively(async () => {
      if ((await store.find(record.name)) !== null)
        throw new ErrVMExists(`there is a sandbox ${record.name} already`);
      await store.add(record);
    });
    this.#values.set(id, values);
    return this.#handle(store, record);
  }

  /** Null where there is none. */
  async get(idOrName: string): Promise<Sandbox | null> {
    const store = await this.#opened();
    const record = await store.find(idOrName);
    return record === null ? null : this.#handle(store, record);
  }

  /** All of the home's, whoever made them, in order of their making. */
  async list(): Promise<readonly SandboxInfo[]> {
    const store = await this.#opened();
    const records = await Promise.all((await store.list()).map(record => reconcile(store, record)));
    return records.map(record => infoOf(record, record.supervisorPid));
  }

  /** Removes it and all that it kept. One that runs is refused, or stopped first with `force`. */
  async remove(idOrName: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const store = await this.#opened();
    const found = await store.find(idOrName);
    if (found === null) throw new ErrVMNotFound(`there is no sandbox ${idOrName}`);
    const record = await reconcile(store, found);
    if (isLive(record.state)) {
      if (!force)
        throw new ErrVMState(`${record.name} is ${record.state}; stop it first, or remove it with force`);
      await this.#handle(store, record).stop({ force });
    }
    await store.exclusively(async () => {
      const lock = await store.lock(record.id, SETTLE_MS);
      if (lock === null && store.read(record.id) !== null)
        throw new ErrVMState(`${record.name} was started again`);
      await store.remove(record.id);
      lock?.release();
    });
    this.#lifelines.get(record.id)?.release();
    for (const kept of [this.#lifelines, this.#values]) kept.delete(record.id);
  }

  /** Ends the sandboxes that it started and that are not detached, and frees every handle. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const store = await this.#store.catch(() => null);
    await Promise.all([...this.#handles].map(handle => handle.close()));
    for (const [id, lifeline] of this.#lifelines) {
      lifeline.release();
      if (!lifeline.detach && store !== null) await settled(store, id, CLOSE_MS);
    }
    this.#values.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #opened(): Promise<Store> {
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'this runtime is closed');
    return await this.#store;
  }

  #handle(store: Store, record: SandboxRecord): Sandbox {
    const core: RuntimeCore = {
      store,
      current: async id => {
        const found = store.read(id);
        return found === null ? null : await reconcile(store, found);
      },
      launch: (found, options) => this.#launch(store, found, options),
      settled: (id, waitMs) => settled(store, id, waitMs),
      killSupervisor: found => killSupervisor(store, found),
    };
    const handle = new Sandbox(core, record);
    this.#handles.add(handle);
    return handle;
  }

  async #launch(store: Store, record: SandboxRecord, options: StartOptions): Promise<void> {
    const { id } = record;
    const { secrets = {}, env = process.env, detach = record.detach } = options;
    const values = new Map([...(this.#values.get(id) ?? []), ...Object.entries(secrets)]);
    const missing = record.literalSecrets.filter(name => !values.has(name));
    if (missing.length > 0) {
      throw new GatewayError(
        'SECRET_UNAVAILABLE',
        `${missing.join(', ')}: given by value to the process that made the sandbox, and not written down; give it to start`,
      );
    }
    const { homeDir } = store;
    const dirs = {
      homeDir,
      caDir: this.#options.caDir ?? join(homeDir, 'ca'),
      ledgerDir: join(homeDir, 'placeholders'),
    };
    const lifeline = await launchSupervisor({ id, ...dirs, detach, env, values }, store.pathsOf(id).log);
    this.#lifelines.set(id, { ...lifeline, detach });
  }

  #images({ homeDir }: Store, { onPull, signal }: Pick<CreateOptions, 'onPull' | 'signal'>): ImageWish {
    const registries = this.#options.imageRegistries ?? null;
    return { homeDir, registries, env: process.env, signal, ...(onPull && { onProgress: onPull }) };
  }

  #defaultNetwork(): NetworkConfig {
    const { profile = 'strict', config = {} } = this.#options.networkDefaults ?? {};
    return { ...profileOf(profile), ...config };
  }
}

/** As the command line has it. */
export function defaultHome(env: Readonly<Record<string, string | undefined>>): string {
  const state = env.XDG_STATE_HOME ?? join(env.HOME ?? homedir(), '.local', 'state');
  return env.SALLYPORT_STATE ?? join(state, 'sallyport');
}

function nameOf(name: string | null | undefined, id: string): string {
  if (name === null || name === undefined || name === '') return id;
  if (NAME.test(name)) return name;
  throw new ErrInvalidConfig(
    'a name has 1 to 63 letters, digits and _ . -, and begins with a letter or digit',
  );
}

/** The configuration is written down, and a value of a secret must not be. */
function refuseValuesIn(env: Readonly<Record<string, string>>, values: ReadonlyMap<string, string>): void {
  const holds = Object.entries(env).find(([, text]) =>
    [...values.values()].some(value => text.includes(value)),
  );
  if (holds !== undefined)
    throw new ErrInvalidConfig(`env.${holds[0]} holds the value of a secret; leave it out`);
}

const SETTLE_MS = 5_000;
const CLOSE_MS = 30_000;
const LOOK_AGAIN_MS = 25;

/**
 * What a sandbox is now: one that says it runs, and that nobody holds, has lost its supervisor. What that left behind
 * is cleared away, and it is written down.
 */
async function reconcile(store: Store, record: SandboxRecord): Promise<SandboxRecord> {
  if (!isLive(record.state)) return record;
  const lock = await store.lock(record.id);
  if (lock === null) return store.read(record.id) ?? record;
  try {
    const now = store.read(record.id) ?? record;
    if (!isLive(now.state)) return now;
    await backendOf(now.backend).reap?.(store.pathsOf(now.id).machine);
    await store.clear(now.id);
    const failed = {
      ...now,
      state: 'failed',
      message: 'its supervisor was killed',
      supervisorPid: null,
      endedAt: Date.now(),
    } as const;
    await store.write(failed);
    return failed;
  } finally {
    lock.release();
  }
}

async function settled(store: Store, id: string, waitMs: number): Promise<boolean> {
  const until = performance.now() + waitMs;
  for (;;) {
    const record = store.read(id);
    if (record === null || !isLive((await reconcile(store, record)).state)) return true;
    if (performance.now() >= until) return false;
    await delay(LOOK_AGAIN_MS);
  }
}

/** Ends one that does not answer. Its machine ends with it; `reconcile` clears away the rest. */
async function killSupervisor(store: Store, { id, name, supervisorPid }: SandboxRecord): Promise<void> {
  // The number may be another's by now: only a process with our orders in its arguments is ended.
  if (supervisorPid !== null && isSupervisor(supervisorPid, id)) process.kill(supervisorPid, 'SIGKILL');
  if (await settled(store, id, SETTLE_MS)) return;
  throw new ErrVMUnreachable(`${name} cannot be ended: its supervisor ${supervisorPid ?? ''} stays`);
}

function isSupervisor(pid: number, id: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(id);
  } catch {
    return false; // There is no such process.
  }
}
