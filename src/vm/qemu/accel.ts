/**
 * Whether this machine's KVM runs our kernel (shell: boots it, and remembers the answer).
 *
 * Asked by booting, not by looking for a device: a nested host may offer /dev/kvm and run nothing on it.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ErrInvalidConfig } from '../errors.js';
import type { Accel } from './command-line.js';
import type { GuestFiles } from './guest-files.js';
import { AGENT_FD, MONITOR_FD, startVmm } from './vmm.js';

export type AccelWish = Accel | 'auto';

const PROBE_MS = 8_000;

/** The accelerator to use. Throws `VM_CONFIG_INVALID` for `kvm` where it does not work. */
export async function chooseAccel(wish: AccelWish, homeDir: string, guest: GuestFiles): Promise<Accel> {
  if (wish === 'tcg') return 'tcg';
  const works = mayOpenKvm() && (await kvmWorks(homeDir, guest));
  if (wish === 'kvm' && !works) {
    throw new ErrInvalidConfig(
      mayOpenKvm()
        ? 'this machine has /dev/kvm, but our kernel does not start on it; leave out --accel kvm to emulate'
        : '/dev/kvm is not there, or not ours to open; leave out --accel kvm to emulate',
    );
  }
  return works ? 'kvm' : 'tcg';
}

function mayOpenKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false; // there is none, or it is for others: no acceleration either way
  }
}

async function kvmWorks(homeDir: string, guest: GuestFiles): Promise<boolean> {
  const file = join(homeDir, 'guest', 'accel.json');
  // A new kernel on either side may change the answer.
  const key = `${release()} ${guest.release}`;
  const known = readAnswer(file);
  if (known?.key === key) return known.works;
  const works = await boots(guest);
  const part = `${file}.${process.pid}.part`;
  await writeFile(part, JSON.stringify({ key, works }));
  await rename(part, file);
  return works;
}

interface Answer {
  readonly key: string;
  readonly works: boolean;
}

function readAnswer(file: string): Answer | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Answer;
  } catch {
    return null; // never asked, or written by halves: it is asked again
  }
}

/** Starts the kernel with nothing but its first program, which says so and switches the machine off. */
async function boots(guest: GuestFiles): Promise<boolean> {
  const vmm = await startVmm({
    cell: null,
    tapFd: null,
    files: [
      { source: guest.kernel, target: '/vm/kernel', writable: false },
      { source: guest.initramfs, target: '/vm/initramfs', writable: false },
    ],
    line: {
      accel: 'kvm',
      arch: process.arch === 'arm64' ? 'arm64' : 'x64',
      cpus: 1,
      memoryMb: 256,
      kernel: '/vm/kernel',
      initramfs: '/vm/initramfs',
      kernelArgs: ['sp.probe'],
      disks: [],
      agentFd: AGENT_FD,
      monitorFd: MONITOR_FD,
      net: null,
      shares: [],
      more: [],
    },
  });
  await Promise.race([vmm.exit, delay(PROBE_MS, undefined, { ref: false })]);
  vmm.kill();
  const { code } = await vmm.exit;
  return code === 0 && /sallyport: init/.test(vmm.screen.tail());
}
