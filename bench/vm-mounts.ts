/**
 * Folders of the host in a guest: virtiofsd, as machines have it, beside 9p, under one kernel that has both (Debian's
 * `cloud` kernel has no 9p).
 *
 * Run: node .cache/tools/bench/vm-mounts.js [--mib N] [--files N]
 */

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { emitCpio, FILE } from '../src/vm/qemu/cpio.js';
import { buildInitramfs, MODULES } from '../src/vm/qemu/initramfs.js';
import { openShares } from '../src/vm/qemu/shares.js';
import { cpuTimeUs, familyOf } from './machine.js';
import { bareGuest, unpackPackages } from './vm-guest.js';

const { values } = parseArgs({ options: { mib: { type: 'string' }, files: { type: 'string' } } });
const MIB = Number(values.mib ?? 64);
const FILES = Number(values.files ?? 300);
const home = join(process.cwd(), '.cache', 'bench', 'vm');
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-bench-mounts-'));
const NINEP = ['netfs', 'fscache', '9pnet', '9pnet_virtio', '9p'];

/** Debian's other kernel, and a first file system with its modules, in the bench's folder. */
async function generalKernel(): Promise<{ readonly kernel: string; readonly initramfs: string }> {
  const folder = join(home, 'general');
  const kernel = join(folder, 'kernel');
  const initramfs = join(folder, 'initramfs');
  if (existsSync(initramfs)) return { kernel, initramfs };
  const depends = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
  const name = /Depends: (linux-image-6\S+)/.exec(depends)?.[1] ?? 'linux-image-amd64';
  unpackPackages([name], folder);
  const root = join(folder, 'root');
  const [release = ''] = await readdir(join(root, 'lib/modules'));
  copyFileSync(join(root, 'boot', `vmlinuz-${release}`), kernel);
  const files = await readdir(join(root, 'lib/modules', release), { recursive: true });
  const found = new Map<string, Buffer>();
  for (const file of files) {
    const name = /([^/]+)\.ko$/.exec(file)?.[1]?.replaceAll('-', '_');
    if (name === undefined || !(NINEP.includes(name) || MODULES.some(([own]) => own === name))) continue;
    found.set(name, readFileSync(join(root, 'lib/modules', release, file)));
  }
  const order = [...MODULES, ...NINEP.map(name => [name, '9p'] as const)].filter(([name]) => found.has(name));
  const extra = emitCpio([
    ...NINEP.filter(name => found.has(name)).map(name => ({
      path: `modules/${name}.ko`,
      mode: FILE,
      content: found.get(name) ?? Buffer.alloc(0),
    })),
    {
      path: 'modules/order',
      mode: FILE,
      content: Buffer.from(order.map(([n, w]) => `${n}.ko ${w}\n`).join('')),
    },
  ]);
  // Of two archives one after the other the kernel unpacks both, the later one over the earlier.
  writeFileSync(initramfs, Buffer.concat([await buildInitramfs(found), extra]));
  rmSync(root, { recursive: true });
  return { kernel, initramfs };
}

const SMALL = `for i in $(seq ${FILES}); do echo $i >/m/small/$i; done`;
const STEPS = [
  [
    `write a file of ${MIB} MiB`,
    `dd if=/dev/zero of=/m/large bs=1M count=${MIB} conv=fsync 2>/dev/null`,
    MIB,
    'MiB/s',
  ],
  [
    'read it, nothing kept',
    'umount /m; mount_again; dd if=/m/large of=/dev/null bs=1M 2>/dev/null',
    MIB,
    'MiB/s',
  ],
  [`make ${FILES} files`, `mkdir /m/small; ${SMALL}`, FILES, 'a second'],
  ['list and stat them', 'umount /m; mount_again; ls -l /m/small >/dev/null', FILES, 'a second'],
] as const;

async function measure(how: 'virtiofs' | '9p'): Promise<readonly string[]> {
  const folder = join(scratch, how);
  mkdirSync(folder);
  const shares = await openShares(
    how === 'virtiofs' ? [{ tag: 'share', hostPath: folder, readonly: false }] : [],
    join(scratch, `${how}-state`),
    [],
  );
  const nineP = [
    '-fsdev',
    `local,id=fs,path=${folder},security_model=none`,
    '-device',
    'virtio-9p-pci,fsdev=fs,mount_tag=share',
  ];
  const guest = await bareGuest({
    home,
    ...(await generalKernel()),
    modules: [how],
    shares: [...shares.sockets].map(([tag, path]) => ({ tag, path })),
    more: how === '9p' ? nineP : [],
  });
  try {
    const options = how === '9p' ? '-o trans=virtio,version=9p2000.L,msize=524288,cache=none' : '';
    const mount = `mount -t ${how} ${options} share /m`;
    await guest.exec(`mkdir /m; ${mount}`);
    const results: string[] = [];
    for (const [, command, amount, unit] of STEPS) {
      const [from, before] = [performance.now(), cpuOf(guest.pid)];
      await guest.exec(`mount_again() { ${mount}; }; ${command}`);
      const seconds = (performance.now() - from) / 1000;
      results.push(`${(amount / seconds).toFixed(0)} ${unit}, ${(cpuOf(guest.pid) - before).toFixed(1)} s`);
    }
    return results;
  } finally {
    await guest.close();
    await shares.close();
  }
}

/** Of QEMU and of the servers of folders, in seconds. */
function cpuOf(pid: number): number {
  return (
    cpuTimeUs([...new Set([...familyOf(pid), ...familyOf(process.pid).filter(own => own !== process.pid)])]) /
    1e6
  );
}

try {
  const [virtiofs, ninep] = [await measure('virtiofs'), await measure('9p')];
  console.log('| what, and processor time | virtiofsd | 9p |\n|---|---|---|');
  for (const [index, [what]] of STEPS.entries())
    console.log(`| ${what} | ${virtiofs[index]} | ${ninep[index]} |`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
