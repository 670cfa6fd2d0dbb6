/** The backend of this host's own programs: namespaces and bubblewrap, no kernel of its own. */
import type { Backend, Machine, VMConfig } from '../backend.js';
import { DEFAULT_WORKSPACE } from '../config.js';
import { ErrInvalidConfig } from '../errors.js';
import { ProcessMachine } from './machine.js';

export const processBackend: Backend = {
  name: 'process',
  link: 'cell',
  async create(config: VMConfig): Promise<Machine> {
    refuseUnsupported(config);
    return new ProcessMachine(config, config.vfs.workspace ?? DEFAULT_WORKSPACE);
  },
};

/** What only a machine with a kernel of its own can have is refused, not left out. */
function refuseUnsupported(config: VMConfig): void {
  if (config.image !== '' || config.localBundlePath !== undefined) {
    throw new ErrInvalidConfig(
      "the process backend runs this host's own programs: an image needs the backend qemu",
    );
  }
  if (config.extraDisks.length > 0) {
    throw new ErrInvalidConfig(
      'extra_disks: the process backend has no block devices; take the backend qemu',
    );
  }
}
