/** A real guest for tests: the default image, made once for all of them. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Machine, MachineDoor, VMConfig } from '../../../src/vm/backend.js';
import { DEFAULT_TIMEOUT_SECONDS } from '../../../src/vm/config.js';
import type { Agent } from '../../../src/vm/qemu/agent/agent.js';
import type { Channel, ChannelExit } from '../../../src/vm/qemu/agent/channel.js';
import { createQemuBackend, type QemuOptions } from '../../../src/vm/qemu/index.js';

/** Of this user's tests; it stays, because a kernel is a download. */
export function guestHome(): string {
  const name = `test-guest-${process.getuid?.() ?? 0}`;
  const inCheckout = join(process.cwd(), '.cache', name);
  try {
    mkdirSync(inCheckout, { recursive: true, mode: 0o700 });
    return inCheckout;
  } catch {
    // Somebody else's checkout.
    const folder = join(tmpdir(), `sallyport-${name}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
}

const folders: string[] = [];

type Overrides = Partial<VMConfig> & { readonly door?: MachineDoor | null };

export function configOf(overrides: Overrides = {}): VMConfig {
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-vm-'));
  folders.push(stateDir);
  return {
    id: 'test',
    stateDir,
    homeDir: guestHome(),
    image: '',
    persist: false,
    privileged: false,
    resources: { cpus: 1, memoryMb: 256, diskSizeMb: 512, timeoutSeconds: DEFAULT_TIMEOUT_SECONDS },
    vfs: {},
    extraDisks: [],
    env: new Map(),
    door: null,
    hostname: 'guest',
    addHosts: [],
    searchDomains: [],
    portForwards: [],
    hide: [],
    ...overrides,
  };
}

/** Emulated, whatever this machine has: tests are to be equal everywhere. */
export async function createMachine(overrides: Overrides = {}, options: QemuOptions = {}): Promise<Machine> {
  return await createQemuBackend({ accel: 'tcg', ...options }).create(configOf(overrides));
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export interface Ran extends ChannelExit {
  readonly stdout: string;
  readonly stderr: string;
}

export function openExec(agent: Agent, argv: readonly string[], { user = '', folder = '' } = {}): Channel {
  return agent.open('exec', ['0', '0', user, folder, String(argv.length), ...argv]);
}

export async function ran(channel: Channel, input: string | Uint8Array = ''): Promise<Ran> {
  channel.stdin.end(input);
  const [stdout, stderr, exit] = await Promise.all([
    text(channel.stdout),
    text(channel.stderr),
    channel.exit,
  ]);
  return { ...exit, stdout, stderr };
}
