/** A guest for measurements: our kernel's set-up and agent, with whatever else is attached, outside of any cell. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Agent } from '../src/vm/qemu/agent/agent.js';
import { closureOf } from '../src/vm/qemu/closure.js';
import { qemuArgs } from '../src/vm/qemu/command-line.js';
import { emitCpio } from '../src/vm/qemu/cpio.js';
import { ensureDefaultImage, ensureGuestFiles } from '../src/vm/qemu/index.js';

export interface GuestWish {
  readonly home: string;
  readonly kernel?: string;
  readonly initramfs?: string;
  readonly modules?: readonly string[];
  readonly shares?: readonly { readonly tag: string; readonly path: string }[];
  readonly more: readonly string[];
}

export interface BareGuest {
  readonly pid: number;
  /** The other end of a port that `more` gives descriptor 5. */
  readonly port: Duplex;
  exec(command: string, input?: Readable | Uint8Array): Promise<string>;
  close(): Promise<void>;
}

export async function bareGuest({
  home,
  modules = [],
  shares = [],
  more,
  ...own
}: GuestWish): Promise<BareGuest> {
  const guest = await ensureGuestFiles(home);
  const lower = await ensureDefaultImage(home);
  const args = qemuArgs({
    accel: 'tcg',
    arch: 'x64',
    cpus: 1,
    memoryMb: 512,
    kernel: own.kernel ?? guest.kernel,
    initramfs: own.initramfs ?? guest.initramfs,
    kernelArgs: [`sp.lower=${lower.fsType}`, 'sp.upper=memory', `sp.modules=${modules.join(',')}`],
    disks: [{ name: 'lower', path: lower.path, format: 'raw', readonly: true, scratch: false }],
    agentFd: 3,
    monitorFd: 4,
    net: null,
    shares,
    more,
  });
  const stdio = [
    'ignore',
    process.env.CONSOLE ? 'inherit' : 'ignore',
    'inherit',
    'pipe',
    'pipe',
    'pipe',
  ] as const;
  const child = spawn('qemu-system-x86_64', args, { stdio: [...stdio] });
  const agent = new Agent(child.stdio[3] as Duplex);
  await agent.ready;
  return {
    pid: child.pid ?? 0,
    port: (child.stdio as unknown as readonly Duplex[])[5] as Duplex,
    exec: async (command, input) => {
      const channel = agent.open('exec', ['0', '0', '', '', '3', 'sh', '-c', command]);
      if (input === undefined || input instanceof Uint8Array) channel.stdin.end(input);
      else input.pipe(channel.stdin);
      const [out, said] = await Promise.all([text(channel.stdout), text(channel.stderr)]);
      const { code } = await channel.exit;
      if (code !== 0) throw new Error(`in the guest: ${command.slice(0, 200)}: ${code}: ${said}`);
      return out;
    },
    close: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** One more serial port, whose other end is `port`. */
export const PORT = [
  ...['-device', 'virtio-serial-pci,id=rivals', '-chardev', 'socket,id=rival,fd=5'],
  ...['-device', 'virtserialport,bus=rivals.0,chardev=rival,name=rival'],
];

/** Programs with what they load, at their own paths, for `cpio -i` in a guest. */
export async function programsAs(
  files: readonly { readonly from: string; readonly to: string }[],
): Promise<Buffer> {
  const members = new Map<string, { path: string; mode: number; content: Uint8Array }>();
  for (const { from, to } of files) {
    const [program, ...libraries] = await closureOf(from);
    if (program !== undefined) members.set(to, { ...program, path: to, mode: 0o100755 });
    for (const library of libraries) members.set(library.path, { ...library, mode: 0o100755 });
  }
  return emitCpio([...members.values()]);
}

/** Unpacks Debian's packages into `folder`, and installs none. */
export function unpackPackages(names: readonly string[], folder: string): void {
  execFileSync('mkdir', ['-p', `${folder}/root`]);
  execFileSync('apt-get', ['-q', 'download', ...names], { cwd: folder, stdio: 'ignore' });
  for (const name of names) execFileSync('sh', ['-c', `dpkg-deb -x ${folder}/${name}_*.deb ${folder}/root`]);
}
