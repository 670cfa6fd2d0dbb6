/** The flags of `run` that only a machine has. Pure. */
import { type Command, Option } from 'commander';
import { GatewayError } from '../core/errors.js';
import type { Limits, NetworkConfig } from '../vm/index.js';
import { collect } from './policy-flags.js';
import type { MachineFlags } from './run-machine.js';

export function withMachineFlags(command: Command): Command {
  return command
    .option('--vm', 'run it in a virtual machine of its own, under QEMU', false)
    .option(
      '--image <name|path>',
      'the root of the command: an image, or the path of a layout, archive or folder; with --vm: what it boots',
    )
    .option(
      '--registry <host>',
      'with --image or --vm: where an image without a registry in its name is pulled from; may be repeated',
      collect,
    )
    .addOption(
      new Option(
        '--pull <when>',
        'with --image or --vm: ask registries for an image that is not here',
      ).choices(['missing', 'never']),
    )
    .option('--cpus <count>', 'processors; a fraction without --vm (default: no limit; with --vm: 1)')
    .option('--memory <MiB>', 'memory (default: no limit; with --vm: 512)')
    .option('--pids <count>', 'processes and threads at a time, without --vm (default with --image: 4096)')
    .option('--disk <MiB>', 'with --vm: room for what changes (default: 5120)')
    .option(
      '--volume <host:guest[:ro]>',
      'with --image or --vm: a folder of this machine, below /workspace',
      collect,
    )
    .option(
      '--publish <[ip:]port:guestport[/udp]>',
      'with --image or --vm: a port that leads into it',
      collect,
    )
    .addOption(
      new Option('--accel <how>', 'with --vm: insist on kvm or on emulation').choices(['auto', 'kvm', 'tcg']),
    )
    .option(
      '--bridge <name[,address/length[,router]]>',
      'with --vm --network bridged, as root: a bridge of this machine; past the gateway, so no policy holds there',
    )
    .addOption(
      new Option('--network <mode>', 'with --image or --vm: nat is the gateway').choices([
        'nat',
        'disabled',
        'bridged',
      ]),
    );
}

const ONLY_MACHINES = ['disk', 'accel', 'bridge'] as const;
const WITH_IMAGE = ['registry', 'pull', 'volume', 'publish', 'network'] as const;

/** What only a machine, or only an image's root, has is refused elsewhere, not left out. */
export function refuseMachineFlags(flags: MachineFlags): void {
  if (flags.vm === true) {
    if (flags.pids === undefined) return;
    throw new GatewayError('CONFIG_INVALID', '--pids is for processes: a machine has a kernel of its own');
  }
  const given = (names: readonly (keyof MachineFlags)[]): string[] =>
    names.filter(name => flags[name] !== undefined).map(name => `--${name}`);
  const machines = given(ONLY_MACHINES);
  if (machines.length > 0) {
    throw new GatewayError('CONFIG_INVALID', `only for a machine: ${machines.join(', ')}. Add --vm`);
  }
  const images = flags.image === undefined ? given(WITH_IMAGE) : [];
  if (images.length === 0) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    `only with an image: ${images.join(', ')}. Add --image, or --vm; a command of this machine has --bind for folders, and always the gateway for its network`,
  );
}

const MIB = 1024 * 1024;

/** Of a command of this machine; absent where no flag asks for any. */
export function limitsOf({ cpus, memory, pids }: MachineFlags): Limits | undefined {
  if ((cpus ?? memory ?? pids) === undefined) return undefined;
  return {
    cpus: cpus === undefined ? null : fractionOf('--cpus', cpus),
    memoryBytes: memory === undefined ? null : wholeOf('--memory', memory) * MIB,
    pids: pids === undefined ? null : wholeOf('--pids', pids),
  };
}

export function wholeOf(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value > 0) return value;
  throw new GatewayError('CONFIG_INVALID', `${flag}: '${text}' is not a whole number above zero`);
}

export function fractionOf(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0) return value;
  throw new GatewayError('CONFIG_INVALID', `${flag}: '${text}' is not a number above zero`);
}

/** What a user should know who asked for limits: that something else than a control group holds them, or nothing. */
export function limitsWarning(text: string | undefined): string | null {
  return text?.includes('no control group') ? `sallyport: limits: ${text}\n` : null;
}

/** `NAME[,ADDRESS/LENGTH[,ROUTER]]`, with the names of a network. */
export function parseBridge(text: string): Pick<NetworkConfig, 'bridge' | 'address' | 'router'> {
  const [bridge = '', address, router, ...rest] = text.split(',');
  if (rest.length > 0 || bridge === '')
    throw new GatewayError('CONFIG_INVALID', `--bridge: '${text}' is not NAME[,ADDRESS/LENGTH[,ROUTER]]`);
  return { bridge, ...(address !== undefined && { address }), ...(router !== undefined && { router }) };
}
