/** The guest's first file system: a shell, the agent and its interpreter, and kernel modules (shell: reads programs). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { SYSTEM_PATH } from '../../net/vestibule/index.js';
import { closureOf, librariesOf, memberOf, needProgram } from './closure.js';
import { type CpioMember, emitCpio, FILE, FOLDER, LINK, PROGRAM } from './cpio.js';

const run = promisify(execFile);

/**
 * Modules in the order in which they are loaded, and when: `always`, or as the kernel's command line names. Those that
 * a kernel has built in are not in its package.
 */
export const MODULES: readonly (readonly [name: string, wanted: string])[] = [
  ['virtio_ring', 'always'],
  ['virtio', 'always'],
  ['virtio_pci_modern_dev', 'always'],
  ['virtio_pci_legacy_dev', 'always'],
  ['virtio_pci', 'always'],
  ['virtio_mmio', 'mmio'],
  ['virtio_rng', 'always'],
  ['virtio_console', 'always'],
  ['virtio_blk', 'always'],
  ['failover', 'net'],
  ['net_failover', 'net'],
  ['virtio_net', 'net'],
  ['overlay', 'always'],
  ['squashfs', 'squashfs'],
  ['erofs', 'erofs'],
  ['fuse', 'virtiofs'],
  ['virtiofs', 'virtiofs'],
];

const EMPTY = new Uint8Array(0);

/** The archive, not packed: unpacking costs more than reading where the processor is emulated. */
export async function buildInitramfs(modules: ReadonlyMap<string, Buffer>): Promise<Buffer> {
  const busybox = await memberOf(needProgram('busybox'), PROGRAM);
  const guest = guestFolder();
  const agent = await readFile(join(guest, 'agent.pl'), 'utf8');
  const loaded = MODULES.filter(([name]) => modules.has(name));
  return emitCpio([
    ...['dev', 'proc', 'sys', 'cgroup', 'tmp', 'new'].map(path => ({ path, mode: FOLDER, content: EMPTY })),
    { path: 'bin/busybox', mode: PROGRAM, content: busybox.content },
    { path: 'bin/sh', mode: LINK, content: Buffer.from('busybox') },
    { path: 'init', mode: PROGRAM, content: await readFile(join(guest, 'init')) },
    { path: 'agent.pl', mode: PROGRAM, content: Buffer.from(agent) },
    ...(await perl(agent)),
    ...loaded.map(([name]) => ({
      path: `modules/${name}.ko`,
      mode: FILE,
      content: modules.get(name) ?? EMPTY,
    })),
    {
      path: 'modules/order',
      mode: FILE,
      content: Buffer.from(loaded.map(([name, wanted]) => `${name}.ko ${wanted}\n`).join('')),
    },
  ]);
}

const TELL_LOADED = 'print join "\\n", sort((grep { m{^/} } values %INC), @DynaLoader::dl_shared_objects)';

/** What the agent loads is asked of perl itself: every distribution has its own places. */
async function perl(agent: string): Promise<readonly CpioMember[]> {
  const file = needProgram('perl');
  const uses = agent.match(/^use [^;]+;/gm) ?? [];
  const { stdout } = await run(file, ['-e', [...uses, TELL_LOADED].join('\n')], {
    env: { PATH: SYSTEM_PATH },
  });
  const parts = stdout.split('\n').filter(path => path !== '');
  const libraries = (await Promise.all(parts.filter(path => path.endsWith('.so')).map(librariesOf))).flat();
  const [program = await memberOf(file), ...own] = await closureOf(file);
  const files = new Set(
    [...parts, ...libraries].filter(path => !own.some(member => `/${member.path}` === path)),
  );
  return [
    { ...program, path: 'usr/bin/perl', mode: PROGRAM },
    ...own,
    ...(await Promise.all([...files].map(path => memberOf(path)))),
  ];
}

/** Where the package keeps the guest's own programs: in a checkout, in `dist/` and in an install. */
function guestFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'guest', 'agent.pl')) && dirname(folder) !== folder)
    folder = dirname(folder);
  return join(folder, 'guest');
}
