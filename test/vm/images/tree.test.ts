import { namesOf } from '../../../src/vm/images/emission.js';
import { ImageTree, LayerFault } from '../../../src/vm/images/tree.js';
import { entry, type Spec } from '../../support/tar.js';

/** The names of an image of these layers, folders with a slash, links with their target. */
function imageOf(...layers: readonly (readonly Spec[])[]): readonly string[] {
  const tree = new ImageTree();
  for (const [index, layer] of layers.entries()) tree.addLayer(layer.map(entry), index);
  return [...namesOf(tree.root)].slice(1).map(({ path, inode }) => {
    if (inode.kind === 'directory') return `${path}/`;
    return inode.kind === 'symlink' ? `${path} -> ${inode.link}` : `${path}@${inode.layer}.${inode.member}`;
  });
}

const dir = (name: string): Spec => ({ name, type: 'directory' });
const file = (name: string): Spec => ({ name, content: name });
const symlink = (name: string, link: string): Spec => ({ name, type: 'symlink', link });
const hardlink = (name: string, link: string): Spec => ({ name, type: 'hardlink', link });

const images: readonly { name: string; layers: readonly (readonly Spec[])[]; want: readonly string[] }[] = [
  {
    name: 'makes the folders that no member tells of',
    layers: [[file('a/b/c')]],
    want: ['a/', 'a/b/', 'a/b/c@0.0'],
  },
  { name: 'reads ./ and // as nothing', layers: [[dir('./'), file('.//a//./b')]], want: ['a/', 'a/b@0.1'] },
  { name: 'puts a file of a later layer over one', layers: [[file('a')], [file('a')]], want: ['a@1.0'] },
  {
    name: 'puts a file of a later layer over a whole folder',
    layers: [[file('a/b')], [file('a')]],
    want: ['a@1.0'],
  },
  {
    name: 'keeps what a later layer does not speak of',
    layers: [[file('a/b')], [dir('a'), file('a/c')]],
    want: ['a/', 'a/b@0.0', 'a/c@1.1'],
  },
  {
    name: 'removes what is whited out',
    layers: [[file('a/b'), file('a/c')], [file('a/.wh.b')]],
    want: ['a/', 'a/c@0.1'],
  },
  {
    name: 'removes a whole folder that is whited out',
    layers: [[file('a/b/c')], [file('a/.wh.b')]],
    want: ['a/'],
  },
  {
    name: 'whites out nothing of the marker’s own layer, whatever stands first',
    layers: [[file('b')], [file('b'), file('.wh.b')]],
    want: ['b@1.0'],
  },
  {
    name: 'shows of an opaque folder only what its layer brings',
    layers: [
      [file('a/b'), file('a/c/d')],
      [file('a/new'), file('a/.wh..wh..opq')],
    ],
    want: ['a/', 'a/new@1.0'],
  },
  {
    name: 'passes over what AUFS kept for itself',
    layers: [[file('.wh..wh.aufs'), dir('.wh..wh.plnk')]],
    want: [],
  },
  { name: 'passes over a whiteout of nothing', layers: [[file('.wh.none'), file('x/.wh.none')]], want: [] },
  {
    name: 'keeps a symbolic link as it stands',
    layers: [[symlink('mtab', '../../etc/shadow')]],
    want: ['mtab -> ../../etc/shadow'],
  },
  {
    name: 'lets a later layer put a folder in place of a link',
    layers: [[symlink('lib', '/usr/lib')], [dir('lib'), file('lib/x')]],
    want: ['lib/', 'lib/x@1.1'],
  },
  { name: 'gives two names one file', layers: [[file('a'), hardlink('b', './a')]], want: ['a@0.0', 'b@0.0'] },
  {
    name: 'keeps the file of a hard link when its first name goes',
    layers: [[file('a')], [hardlink('b', 'a')], [file('.wh.a')]],
    want: ['b@0.0'],
  },
  { name: 'leaves out devices below dev', layers: [[{ name: 'dev/null', type: 'char' }]], want: [] },
  {
    name: 'has names that only look like another’s prototype',
    layers: [[file('__proto__/x')]],
    want: ['__proto__/', '__proto__/x@0.0'],
  },
];

test.each(images)('ImageTree $name', ({ layers, want }) => {
  expect(imageOf(...layers)).toEqual(want);
});

const refused: readonly { name: string; layers: readonly (readonly Spec[])[]; says: string }[] = [
  { name: 'a name that climbs out', layers: [[file('../x')]], says: 'escapes' },
  { name: 'a name that climbs out of a folder', layers: [[file('a/../../x')]], says: 'escapes' },
  { name: 'an absolute name', layers: [[file('/etc/passwd')]], says: 'absolute' },
  { name: 'a name longer than a file system has', layers: [[file('n'.repeat(256))]], says: 'too-long' },
  {
    name: 'a file below a link of its layer',
    layers: [[symlink('a', '/etc'), file('a/x')]],
    says: 'below a, which is a symlink',
  },
  {
    name: 'a file below a link of a lower layer',
    layers: [[symlink('a', '/etc')], [file('a/x')]],
    says: 'symlink',
  },
  { name: 'a file below a file', layers: [[file('a'), file('a/x')]], says: 'which is a file' },
  {
    name: 'a hard link out of the image',
    layers: [[hardlink('a', '../etc/shadow')]],
    says: 'out of the image',
  },
  { name: 'an absolute hard link', layers: [[hardlink('a', '/etc/shadow')]], says: 'out of the image' },
  {
    name: 'a hard link to nothing',
    layers: [[hardlink('a', 'b'), file('b')]],
    says: 'to nothing that comes before',
  },
  {
    name: 'a hard link through a symbolic one',
    layers: [[symlink('d', '/'), hardlink('a', 'd/x')]],
    says: 'to nothing',
  },
  { name: 'a hard link to a directory', layers: [[dir('d'), hardlink('a', 'd')]], says: 'to a directory' },
  { name: 'a device', layers: [[{ name: 'sda', type: 'block' }]], says: 'is a device' },
  { name: 'a name twice in a layer', layers: [[file('a'), file('./a')]], says: 'twice' },
  { name: 'a folder and a file of one name', layers: [[dir('a'), file('a')]], says: 'twice' },
  { name: 'a marker for the folder above', layers: [[file('a/.wh...')]], says: 'marks no file' },
  { name: 'a marker for nothing', layers: [[file('.wh.')]], says: 'marks no file' },
  { name: 'something below a marker', layers: [[file('.wh.a/b')]], says: 'something is below it' },
  { name: 'a root that is a link', layers: [[symlink('./', '/etc')]], says: 'root is not a directory' },
];

test.each(refused)('ImageTree refuses $name', ({ layers, says }) => {
  expect(() => imageOf(...layers)).toThrow(LayerFault);
  expect(() => imageOf(...layers)).toThrow(says);
});

test('ImageTree keeps capabilities and users’ attributes, and none that an overlay obeys', () => {
  const tree = new ImageTree();
  const names = [
    'security.capability',
    'security.selinux',
    'trusted.overlay.opaque',
    'user.overlay.redirect',
    'user.a',
  ];
  tree.addLayer([entry({ name: 'a', xattrs: new Map(names.map(name => [name, Uint8Array.of(1)])) })], 0);
  const [, { inode } = { inode: null }] = [...namesOf(tree.root)];
  expect([...(inode?.xattrs.keys() ?? [])]).toEqual(['security.capability', 'user.a']);
});
