/** The backend of processes on this host's kernel: namespaces and bubblewrap, the host's own programs or an image's. */
import { join } from 'node:path';
import type { Backend, Machine, VMConfig } from '../backend.js';
import { DEFAULT_IMAGE } from '../config.js';
import { ErrInvalidConfig, ErrNetworkUnsupportedPlatform } from '../errors.js';
import { type MachineTree, machineTree } from '../images/index.js';
import { unpackDefaultImage } from '../qemu/index.js';
import { removeNotedGroups } from './cgroup.js';
import { NOTED, ProcessMachine } from './machine.js';
import { hostPremise, imagePremise } from './premises.js';

export const processBackend: Backend = {
  name: 'process',
  link: 'cell',
  async create(config: VMConfig): Promise<Machine> {
    refuseUnsupported(config);
    const image = await imageOf(config);
    if (image === null) return new ProcessMachine(config, config.imageConfig ?? {}, hostPremise(config));
    const imageConfig = config.imageConfig ?? image.config;
    return new ProcessMachine(config, imageConfig, imagePremise(config, image.tree, imageConfig));
  },
  reap: stateDir => removeNotedGroups(join(stateDir, NOTED)),
};

/** Null for the host's own programs. */
async function imageOf(config: VMConfig): Promise<MachineTree | null> {
  const { image, localBundlePath, homeDir, stateDir } = config;
  if (localBundlePath !== undefined || (image !== '' && image !== DEFAULT_IMAGE))
    return await machineTree(config);
  if (image === '') return null;
  const tree = join(stateDir, 'default-image');
  await unpackDefaultImage(homeDir, tree);
  return { tree, config: {} };
}

/** What only a machine with a kernel of its own can have is refused, not left out. */
function refuseUnsupported(config: VMConfig): void {
  if (config.bridge !== undefined)
    throw new ErrNetworkUnsupportedPlatform('only a machine can be bridged: take the backend qemu');
  if (config.extraDisks.length > 0) {
    throw new ErrInvalidConfig(
      'extra_disks: the process backend has no block devices; take the backend qemu',
    );
  }
}
