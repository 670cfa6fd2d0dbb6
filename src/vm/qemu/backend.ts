/** The backend of machines with a kernel of their own: QEMU, by the processor's virtualisation or by emulation. */
import type { Backend, VMConfig } from '../backend.js';
import { DEFAULT_IMAGE, type ImageConfig } from '../config.js';
import { ErrInvalidConfig, ErrNetworkUnsupportedPlatform } from '../errors.js';
import { machineImage } from '../images/index.js';
import { type AccelWish, chooseAccel } from './accel.js';
import { ensureDefaultImage, ensureGuestFiles, type ImageFile } from './guest-files.js';
import { QemuMachine } from './machine.js';

export interface QemuOptions {
  /** Default: `auto`, KVM where our kernel boots on it. */
  readonly accel?: AccelWish;
  /** Until the guest answers. Default: two minutes. */
  readonly bootTimeoutMs?: number;
  /** Told of work that takes long: a kernel that is downloaded. */
  readonly tell?: (message: string) => void;
  /** Told of what guests write on their consoles. */
  readonly onConsole?: (bytes: Buffer) => void;
}

/** Emulated, on a machine that is busy. */
const BOOT_TIMEOUT_MS = 120_000;
/** Less does not hold the kernel, the first file system and a command. */
const LEAST_MEMORY_MB = 128;

export interface QemuBackend extends Backend {
  create(config: VMConfig): Promise<QemuMachine>;
}

export function createQemuBackend(options: QemuOptions = {}): QemuBackend {
  return {
    name: 'qemu',
    link: 'tap',
    create: config => createMachine(config, options),
  };
}

export const qemuBackend: QemuBackend = createQemuBackend();

async function createMachine(config: VMConfig, options: QemuOptions): Promise<QemuMachine> {
  refuseUnsupported(config);
  const guest = await ensureGuestFiles(config.homeDir, options.tell);
  const image = await imageOf(config, options);
  const accel = await chooseAccel(options.accel ?? 'auto', config.homeDir, guest);
  return new QemuMachine(config, {
    guest,
    ...image,
    accel,
    bootTimeoutMs: options.bootTimeoutMs ?? BOOT_TIMEOUT_MS,
    onConsole: bytes => {
      options.onConsole?.(bytes);
      config.onConsole?.(bytes);
    },
  });
}

interface FoundImage {
  readonly lower: ImageFile;
  readonly imageConfig: ImageConfig;
}

async function imageOf(config: VMConfig, { tell }: QemuOptions): Promise<FoundImage> {
  const { image, localBundlePath, homeDir } = config;
  if (localBundlePath === undefined && (image === '' || image === DEFAULT_IMAGE)) {
    return { lower: await ensureDefaultImage(homeDir, tell), imageConfig: {} };
  }
  const { lower, config: imageConfig } = await machineImage(config);
  return { lower, imageConfig };
}

function refuseUnsupported({ resources, door }: VMConfig): void {
  const problems = [
    ...(resources.memoryMb < LEAST_MEMORY_MB
      ? [`resources.memory_mb: a machine needs ${LEAST_MEMORY_MB} at least`]
      : []),
    ...(resources.pids !== undefined
      ? ['resources.pids: the kernel of a machine is its own: take the backend process']
      : []),
  ];
  if (problems.length > 0) throw new ErrInvalidConfig(problems.join('; '));
  if (door !== null && door.tap === null) {
    throw new ErrNetworkUnsupportedPlatform(
      'the door was opened for a process: a machine needs one with a TAP',
    );
  }
}
