import type { DiskMount, VFSConfig } from '../../../src/vm/config.js';
import { planAttachments } from '../../../src/vm/qemu/attachments.js';

test('planAttachments mounts the outer folders first, and gives each source a name of its own', () => {
  const plan = planAttachments(
    {
      directMounts: { '/a/b/c': { hostPath: '/x', readonly: true } },
      mounts: {
        '/a': { type: 'memory' },
        '/a/b': { type: 'real_fs', hostPath: '/y' },
        '/over': { type: 'overlay', lower: { type: 'real_fs', hostPath: '/z' }, upper: { type: 'memory' } },
      },
    },
    [{ hostPath: '/disk.img', guestMount: '/d', readonly: true }],
  );
  expect(plan.words).toEqual([
    'sp.mount=memory,-,rw,/a',
    'sp.mount=disk,extra0,ro,/d',
    'sp.mount=share,share0,rw,/a/b',
    'sp.mount=overlay,share1,rw,/over',
    'sp.mount=share,share2,ro,/a/b/c',
  ]);
  expect(plan.shares).toEqual([
    { tag: 'share0', hostPath: '/y', readonly: false },
    { tag: 'share1', hostPath: '/z', readonly: true },
    { tag: 'share2', hostPath: '/x', readonly: true },
  ]);
  expect(plan.disks).toMatchObject([{ name: 'extra0', source: '/disk.img', readonly: true, scratch: false }]);
});

const memory = { type: 'memory' } as const;
const real = { type: 'real_fs', hostPath: '/x' } as const;

const refused: readonly { name: string; vfs: VFSConfig; disks?: readonly DiskMount[]; says: string }[] = [
  { name: 'a path that a shell would read', vfs: { mounts: { '/a b': memory } }, says: 'letters, digits' },
  { name: 'a path that ends the word', vfs: { mounts: { '/a,rw': memory } }, says: 'letters, digits' },
  { name: 'a path with ..', vfs: { mounts: { '/a/../b': memory } }, says: '. or ..' },
  { name: 'the root', vfs: { mounts: { '/': memory } }, says: 'root' },
  { name: 'a path of the kernel', vfs: { mounts: { '/proc/x': memory } }, says: 'kernel' },
  {
    name: 'a folder of the host that is not named',
    vfs: { mounts: { '/a': { type: 'real_fs' } } },
    says: 'empty',
  },
  {
    name: 'an overlay of one',
    vfs: { mounts: { '/a': { type: 'overlay', lower: real } } },
    says: 'lower and an upper',
  },
  {
    name: 'an overlay whose upper is a folder of the host',
    vfs: { mounts: { '/a': { type: 'overlay', lower: real, upper: real } } },
    says: 'take memory',
  },
  {
    name: 'a disk where a mount is',
    vfs: { mounts: { '/a': memory } },
    disks: [{ hostPath: '/d', guestMount: '/a' }],
    says: 'something else',
  },
];

test.each(refused)('planAttachments refuses $name', ({ vfs, disks = [], says }) => {
  expect(() => planAttachments(vfs, disks)).toThrow(says);
});
