/**
 * Holds one sandbox: its lock, its gateway, its machine and its control socket (shell: owns them, and the process's
 * signals).
 *
 * One process for each sandbox that runs. Whatever ends it ends the sandbox; what it wrote down then says so to whoever
 * looks next.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../core/clock.js';
import { errorCode } from '../core/errors.js';
import { openFileSink } from '../events/file-sink.js';
import { secretFiles } from '../gateway/of-policy.js';
import { createGateway, type Door, type Gateway } from '../gateway.js';
import { type BridgedTap, openBridgedTap } from '../net/bridged.js';
import { findTools } from '../net/vestibule/index.js';
import { Ca } from '../proxy/tls/ca.js';
import { Ledger } from '../secrets/ledger.js';
import {
  type BridgedLink,
  type Config,
  ErrVMNotFound,
  ErrVMState,
  type Machine,
  type NetworkConfig,
  type VMConfig,
} from '../vm/index.js';
import { backendOf } from './backends.js';
import { getWorkspace } from './config.js';
import { ConsoleLog } from './console-log.js';
import { type ControlServer, type ControlTarget, serveControl } from './control-server.js';
import { EventRing } from './event-ring.js';
import { FileWatch, type WatchRoot } from './file-watch.js';
import { tellForwards } from './forward-events.js';
import type { Launch } from './launch.js';
import type { Lock } from './locks.js';
import { isBridged, layersOf, refuseBridgedSecrets, validateNetworkConfig } from './network.js';
import { isLive, type SandboxRecord } from './record.js';
import { Store } from './store.js';
import { toldMachine } from './told-machine.js';

/** Another process may hold the lock for a look at the sandbox. */
const LOCK_MS = 2_000;

interface Held {
  readonly gateway: Gateway;
  readonly door: Door | null;
  readonly bridged: BridgedTap | null;
  readonly machine: Machine;
  readonly control: ControlServer;
  readonly files: FileWatch;
  readonly screen: ConsoleLog;
}

export class Supervisor {
  readonly #launch: Launch;
  readonly #store: Store;
  readonly #lock: Lock;
  readonly #ring = new EventRing();
  #record: SandboxRecord;
  #held: Held | null = null;
  #stopping: Promise<void> | null = null;
  #graceMs = 0;

  private constructor(launch: Launch, store: Store, lock: Lock, record: SandboxRecord) {
    this.#launch = launch;
    this.#store = store;
    this.#lock = lock;
    this.#record = record;
  }

  /** Starts the sandbox. Throws, with the sandbox `failed`, whatever kept it from coming up. */
  static async start(launch: Launch): Promise<Supervisor> {
    const store = await Store.open(launch.homeDir);
    const lock = await store.lock(launch.id, LOCK_MS);
    const record = store.read(launch.id);
    if (record === null) throw new ErrVMNotFound(`there is no sandbox ${launch.id}`);
    if (lock === null)
      throw new ErrVMState(`${record.name} is ${record.state}: it can be started once it has stopped`);
    const supervisor = new Supervisor(launch, store, lock, record);
    await supervisor.#start();
    return supervisor;
  }

  async #start(): Promise<void> {
    const { backend, id } = this.#record;
    const parts: Partial<Held> & { gateway?: Gateway } = {};
    try {
      // What a predecessor that was killed left behind must not meet its successor.
      if (isLive(this.#record.state)) await backendOf(backend).reap?.(this.#store.pathsOf(id).machine);
      await this.#note({
        state: 'starting',
        message: '',
        supervisorPid: process.pid,
        startedAt: null,
        endedAt: null,
      });
      this.#held = await this.#open(parts);
      const { limits, notes } = this.#held.machine;
      await this.#note({ state: 'running', startedAt: Date.now(), limits, notes });
      const { gateway } = this.#held;
      gateway.bus.emit({
        type: 'vm.started',
        sandbox: id,
        gateway: { message: `by ${backend}`, detail: [...notes] },
      });
    } catch (error) {
      await closeAll(parts);
      await this.#note({
        state: 'failed',
        message: sentence(error),
        supervisorPid: null,
        endedAt: Date.now(),
      });
      this.#lock.release();
      throw error;
    }
  }

  /** Fills `parts` on its way, so that a failure can close what was open by then. */
  async #open(parts: { -readonly [K in keyof Held]?: Held[K] }): Promise<Held> {
    const { homeDir, caDir, env, values } = this.#launch;
    const { id, config, backend } = this.#record;
    const paths = this.#store.pathsOf(id);
    validateNetworkConfig(config.network);
    const { layers, literals } = await layersOf(config.network, values);
    refuseBridgedSecrets(config.network, layers);
    const ledger = layers.some(layer => layer.secrets.length > 0)
      ? Ledger.open(this.#launch.ledgerDir)
      : null;
    const gateway = await createGateway({
      layers,
      literals,
      env,
      ca: Ca.open({ dir: caDir }),
      upstreamCa: config.network.upstreamCa ?? [],
      sinks: [await openFileSink({ path: paths.events, clock: systemClock })],
      ...(ledger && { placeholderKey: ledger.key, onPlaceholders: owners => ledger.record(owners) }),
    });
    parts.gateway = gateway;
    gateway.bus.subscribe(event => this.#ring.add(event));
    const { link } = backendOf(backend);
    const opensDoor = config.network.enabled && !isBridged(config.network);
    const door = opensDoor ? await gateway.openDoor(id, link) : null;
    parts.door = door;
    const bridged = isBridged(config.network)
      ? await openBridgedTap(config.network.bridge ?? '', findTools())
      : null;
    parts.bridged = bridged;
    const hide = [homeDir, caDir, this.#launch.ledgerDir, ...secretFiles(gateway.policy)];
    const screen = new ConsoleLog(paths.console);
    parts.screen = screen;
    const machine = await backendOf(backend).create({
      ...vmConfigOf(this.#record, { paths, homeDir, hide, door, bridged }),
      onForward: tellForwards(id, gateway.bus.emit),
      onConsole: bytes => screen.write(bytes),
    });
    parts.machine = machine;
    await machine.start();
    const files = fileWatch(id, gateway);
    parts.files = files;
    for (const root of watchRoots(config, machine.rootfsPath)) await files.add(root);
    const told = toldMachine(machine, {
      sandbox: id,
      emit: gateway.bus.emit,
      clock: systemClock,
      environment: own => door?.environment(own) ?? own,
    });
    const control = await serveControl(paths.socket, this.#target(told));
    parts.control = control;
    return { gateway, door, bridged, machine, control, files, screen };
  }

  #target(machine: Machine): ControlTarget {
    return {
      machine,
      events: this.#ring,
      info: () => ({ pid: machine.pid, rootfsPath: machine.rootfsPath }),
      stop: graceMs => this.stop(graceMs),
      wait: () => machine.wait(),
    };
  }

  /** Resolves when the sandbox has ended, by whatever means, and all is closed and written down. */
  async ended(): Promise<void> {
    const held = this.#held;
    if (held === null) return;
    const { machine, door, gateway } = held;
    const exit = await Promise.race([
      machine.wait(),
      door?.closed.then(() => null) ?? new Promise<never>(() => {}),
    ]);
    await this.#note({ state: 'stopping' });
    await machine.stop({ graceMs: this.#graceMs });
    const asked = this.#stopping !== null || exit?.reason === 'stopped';
    const message = door?.stopped ?? (asked ? '' : (exit?.message ?? 'the gateway closed its door'));
    gateway.bus.emit({ type: 'vm.ended', sandbox: this.#record.id, gateway: { message, detail: [] } });
    this.#ring.close();
    await closeAll(held);
    await this.#note({
      state: asked ? 'stopped' : 'failed',
      message,
      supervisorPid: null,
      endedAt: Date.now(),
    });
    this.#lock.release();
  }

  /** Asks the machine to end; `ended` does the rest. Resolves when nothing runs in it. */
  async stop(graceMs: number): Promise<void> {
    this.#graceMs = graceMs;
    this.#stopping ??= this.#held?.machine.stop({ graceMs }) ?? Promise.resolve();
    await this.#stopping;
  }

  async #note(change: Partial<SandboxRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    await this.#store.write(this.#record);
  }
}

const OP_TYPES = { create: 'file.created', write: 'file.changed', remove: 'file.removed' } as const;

function fileWatch(sandbox: string, { bus }: Gateway): FileWatch {
  const message = 'there are more files than are watched; events of the others are left out';
  return new FileWatch(
    file => bus.emit({ type: OP_TYPES[file.op], sandbox, file }),
    () => bus.emit({ type: 'gateway.dropped', sandbox, gateway: { message, detail: [] } }),
  );
}

/** The workspace, where it is a folder of the host, and the folders of the host that the sandbox may write. */
function watchRoots({ vfs }: Config, rootfsPath: string | null): readonly WatchRoot[] {
  const direct = Object.entries(vfs.directMounts ?? {}).map(([guestPath, mount]) => ({
    guestPath,
    ...mount,
  }));
  const typed = Object.entries(vfs.mounts ?? {}).map(([guestPath, mount]) => ({
    guestPath,
    hostPath: '',
    ...mount,
  }));
  const workspace = getWorkspace(vfs);
  // The root of a machine with disks is a file of its own format: nothing in it is to be seen from here.
  const root = rootfsPath !== null && isFolder(rootfsPath) ? rootfsPath : null;
  const own = root === null ? [] : [{ guestPath: workspace, hostPath: join(root, workspace) }];
  const writable = [...direct, ...typed].filter(mount => mount.readonly !== true);
  return [...own, ...writable].filter(({ hostPath }) => isFolder(hostPath));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

interface Surroundings {
  readonly paths: { readonly machine: string };
  readonly homeDir: string;
  readonly hide: readonly string[];
  readonly door: Door | null;
  readonly bridged: BridgedTap | null;
}

function vmConfigOf(
  { id, config }: SandboxRecord,
  { paths, homeDir, hide, door, bridged }: Surroundings,
): VMConfig {
  const { network, env, vfs, extraDisks } = config;
  const { image, localBundlePath, imageConfig, persist, privileged, resources, workingDir } = config;
  return {
    id,
    stateDir: paths.machine,
    homeDir,
    image,
    ...(localBundlePath !== undefined && { localBundlePath }),
    ...(imageConfig !== undefined && { imageConfig }),
    ...(workingDir !== undefined && { workingDir }),
    persist,
    privileged,
    resources,
    vfs,
    extraDisks,
    env: new Map(Object.entries(door?.environment(env) ?? env)),
    door,
    hostname: network.hostname ?? id,
    addHosts: network.addHosts ?? [],
    searchDomains: network.searchDomains ?? network.policy?.dns?.searchDomains ?? [],
    ...(network.mtu !== undefined && { mtu: network.mtu }),
    portForwards: network.portForwards ?? [],
    ...(bridged !== null && { bridge: bridgedLink(network, bridged) }),
    hide,
  };
}

function bridgedLink(network: NetworkConfig, { fd, mtu }: BridgedTap): BridgedLink {
  const { bridge = '', address, router } = network;
  return {
    ...{ name: bridge, fd, mtu, nameServers: network.dnsServers ?? [] },
    ...(address !== undefined && { address }),
    ...(router !== undefined && { router }),
  };
}

/** The machine first: nothing runs without a gateway. The gateway last, with all that was told. */
async function closeAll({
  control,
  machine,
  door,
  bridged,
  gateway,
  files,
  screen,
}: Partial<Held>): Promise<void> {
  await machine?.close();
  await screen?.close();
  await files?.close();
  await control?.close();
  await door?.close();
  bridged?.close();
  await gateway?.close();
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : errorCode(error);
}
