/** The flags of `run` that only a machine has. Pure. */
import { type Command, Option } from 'commander';
import { GatewayError } from '../core/errors.js';
import { collect } from './policy-flags.js';
import type { MachineFlags } from './run-machine.js';

export function withMachineFlags(command: Command): Command {
  return command
    .option('--vm', 'run it in a virtual machine of its own, under QEMU', false)
    .option(
      '--image <name>',
      'with --vm: what to boot (default: an image made of this machine’s own programs)',
    )
    .option(
      '--registry <host>',
      'with --vm: where an image without a registry in its name is pulled from; may be repeated',
      collect,
    )
    .addOption(
      new Option('--pull <when>', 'with --vm: ask registries for an image that is not here').choices([
        'missing',
        'never',
      ]),
    )
    .option('--cpus <count>', 'with --vm: processors (default: 1)')
    .option('--memory <MiB>', 'with --vm: memory (default: 512)')
    .option('--disk <MiB>', 'with --vm: room for what changes (default: 5120)')
    .option('--volume <host:guest[:ro]>', 'with --vm: a folder of this machine, below /workspace', collect)
    .option('--publish <[ip:]port:guestport[/udp]>', 'with --vm: a port that leads into it', collect)
    .addOption(
      new Option('--accel <how>', 'with --vm: insist on kvm or on emulation').choices(['auto', 'kvm', 'tcg']),
    )
    .addOption(
      new Option('--network <mode>', 'with --vm: nat is the gateway').choices(['nat', 'disabled', 'bridged']),
    );
}

const ONLY_MACHINES = [
  ...(['image', 'registry', 'pull', 'cpus', 'memory', 'disk', 'volume', 'publish'] as const),
  ...(['accel', 'network'] as const),
];

/** What only a machine has is refused for a command of this one, not left out. */
export function refuseMachineFlags(flags: MachineFlags): void {
  const given = ONLY_MACHINES.filter(name => flags[name] !== undefined).map(name => `--${name}`);
  if (given.length === 0) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    `only for a machine: ${given.join(', ')}. Add --vm; a command of this machine has --bind for folders, and always the gateway for its network`,
  );
}
