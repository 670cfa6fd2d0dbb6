import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Digest } from '../../../src/vm/images/manifest.js';
import { ImageStore } from '../../../src/vm/images/store.js';
import { layoutFiles, type MadeImage, makeImage, sha256, writeFiles } from '../../support/image.js';
import { type Spec, tar } from '../../support/tar.js';

let dir: string;
let store: ImageStore;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-images-'));
  store = await ImageStore.open(join(dir, 'images'));
});

afterEach(async () => {
  // Streams close their files a turn later.
  await new Promise(resolve => setTimeout(resolve, 20));
  const held = openFiles().filter(path => path.startsWith(dir));
  rmSync(dir, { recursive: true, force: true });
  expect(held).toEqual([]);
});

/** The files that this process holds open. */
function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}

const BASE: readonly Spec[] = [
  { name: 'bin/', type: 'directory' },
  { name: 'bin/su', content: '#!/bin/sh\n', mode: 0o4755 },
  { name: 'bin/sh', type: 'hardlink', link: 'bin/su' },
  { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/sh\n', uid: 7, gid: 8 },
  { name: 'etc/gone', content: 'x' },
  { name: 'etc/mtab', type: 'symlink', link: '/proc/mounts' },
];
const TOP: readonly Spec[] = [{ name: 'etc/.wh.gone' }, { name: 'etc/new', content: 'new' }];

const image = (): MadeImage =>
  makeImage({
    layers: [tar(...BASE), tar(...TOP)],
    config: { Entrypoint: ['/bin/sh'], Env: ['A=b=c'], User: 'app' },
  });

const folderOf = (files: ReadonlyMap<string, Uint8Array>, name = 'layout'): string =>
  writeFiles(join(dir, name), files);

/** `docker save` as it was before it wrote layouts. */
function dockerSave(made: MadeImage, tags: readonly string[]): Uint8Array {
  const plain = [tar(...BASE), tar(...TOP)];
  const config = made.blobs.get(made.config.digest) ?? new Uint8Array();
  const manifest = [
    { Config: 'c.json', RepoTags: tags, Layers: plain.map((_layer, index) => `${index}/layer.tar`) },
  ];
  return tar(
    { name: 'c.json', content: config },
    ...plain.map((layer, index): Spec => ({ name: `${index}/layer.tar`, content: layer })),
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  );
}

const archiveOf = (files: ReadonlyMap<string, Uint8Array>): Uint8Array =>
  tar(...[...files].map(([name, content]): Spec => ({ name, content })));

const sources: readonly { name: string; make: () => string; wantNames: readonly (string | null)[] }[] = [
  { name: 'a layout', make: () => folderOf(layoutFiles(image(), 'app:1')), wantNames: ['app:1'] },
  { name: 'a layout without a name', make: () => folderOf(layoutFiles(image())), wantNames: [null] },
  {
    name: 'a layout with Docker’s media types',
    make: () =>
      folderOf(layoutFiles(makeImage({ layers: [tar(...BASE), tar(...TOP)], docker: true }), 'd:1')),
    wantNames: ['d:1'],
  },
  {
    name: 'an archive of a layout',
    make: () =>
      join(folderOf(new Map([['oci.tar', archiveOf(layoutFiles(image(), 'reg.test/app:2'))]])), 'oci.tar'),
    wantNames: ['reg.test/app:2'],
  },
  {
    name: 'what docker save writes',
    make: () => join(folderOf(new Map([['save.tar', dockerSave(image(), ['app:1', 'app:2'])]])), 'save.tar'),
    wantNames: ['app:1', 'app:2'],
  },
  {
    name: 'what docker save writes, packed',
    make: () => join(folderOf(new Map([['save.tgz', gzipSync(dockerSave(image(), ['app:1']))]])), 'save.tgz'),
    wantNames: ['app:1'],
  },
];

test.each(sources)('ImageStore takes $name, and makes the same folder of it', async ({ make, wantNames }) => {
  const images = await store.take(make(), null);
  expect(images.map(({ name }) => name)).toEqual(wantNames);
  const tree = await store.tree(images[0]?.manifest as Digest);
  expect(readdirSync(join(tree, 'etc')).sort()).toEqual(['mtab', 'new', 'passwd']);
  expect(readFileSync(join(tree, 'etc/passwd'), 'utf8')).toBe('root:x:0:0::/:/bin/sh\n');
  expect(readlinkSync(join(tree, 'etc/mtab'))).toBe('/proc/mounts');
  expect(lstatSync(join(tree, 'bin/su')).ino).toBe(lstatSync(join(tree, 'bin/sh')).ino);
});

test('ImageStore takes an archive packed by zstd', async () => {
  const plain = join(folderOf(new Map([['root.tar', tar(...BASE)]])), 'root.tar');
  expect(spawnSync('zstd', ['-q', plain, '-o', `${plain}.zst`]).status).toBe(0);
  const [taken] = await store.take(`${plain}.zst`, 'packed');
  expect(readFileSync(join(await store.tree(taken?.manifest as Digest), 'etc/gone'), 'utf8')).toBe('x');
});

test('ImageStore takes a root file system as a folder, the same twice, and follows no link of it', async () => {
  const root = join(dir, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/os'), 'here');
  symlinkSync('/etc/shadow', join(root, 'etc/shadow'));
  symlinkSync('/etc', join(root, 'host'));
  const [first] = await store.take(root, 'mine:1');
  const [second] = await store.take(root, 'mine:2');
  expect(first?.manifest).toBe(second?.manifest);
  expect(first).toMatchObject({ name: 'mine:1', config: { env: {} }, platform: { os: 'linux' } });
  const tree = await store.tree(first?.manifest as Digest);
  expect(readlinkSync(join(tree, 'host'))).toBe('/etc');
  expect(readlinkSync(join(tree, 'etc/shadow'))).toBe('/etc/shadow');
});

test('ImageStore tells what an image says of its command', async () => {
  await store.take(folderOf(layoutFiles(image())), 'app');
  expect(await store.find('app')).toMatchObject({
    name: 'app:latest',
    config: { entrypoint: ['/bin/sh'], env: { A: 'b=c' }, user: 'app' },
  });
  expect(await store.find('other')).toBeNull();
  await expect(store.find('App')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('ImageStore finds a name without a registry in the registries of its list', async () => {
  await store.take(folderOf(layoutFiles(image())), 'docker.io/library/alpine:3');
  expect(await store.find('alpine:3')).toMatchObject({ name: 'docker.io/library/alpine:3' });
  const elsewhere = await ImageStore.open(join(dir, 'images'), { registries: ['mirror.test'] });
  expect(await elsewhere.find('alpine:3')).toBeNull();
});

test('ImageStore keeps owners and set-user-ID in the file system image, and gives the host’s folder neither', async () => {
  const [taken] = await store.take(folderOf(layoutFiles(image())), 'app');
  const manifest = taken?.manifest as Digest;
  const lower = await store.lower(manifest);
  const listing = spawnSync('unsquashfs', ['-lln', lower.path], { encoding: 'utf8' }).stdout;
  expect(listing).toMatch(/^-rwsr-xr-x 0\/0 +10 .*\/bin\/su$/m);
  expect(listing).toMatch(/^-rw-r--r-- 7\/8 +22 .*\/etc\/passwd$/m);
  expect(listing).toMatch(/^lrwxrwxrwx .*\/etc\/mtab -> \/proc\/mounts$/m);
  expect(listing).not.toContain('gone');
  const tree = await store.tree(manifest);
  expect(statSync(join(tree, 'bin/su')).mode & 0o7777).toBe(0o755);
});

test('ImageStore shares layers, and removes with a name only what no other holds', async () => {
  const shared = tar(...BASE);
  const one = makeImage({ layers: [shared, tar({ name: 'one', content: '1' })] });
  const two = makeImage({ layers: [shared, tar({ name: 'two', content: '2' })] });
  await store.take(folderOf(layoutFiles(one), 'one'), 'one');
  await store.take(folderOf(layoutFiles(two), 'two'), 'two');
  const blobs = (): readonly string[] => readdirSync(join(dir, 'images/blobs/sha256')).sort();
  const names = (made: MadeImage): readonly string[] => [...made.blobs.keys()].map(digest => digest.slice(7));
  expect(blobs()).toEqual([...new Set([...names(one), ...names(two)])].sort());
  await store.lower(one.manifest.digest);
  await store.untag('one');
  expect(await store.collect()).toBeGreaterThan(0);
  expect(blobs()).toEqual([...names(two)].sort());
  expect(readdirSync(join(dir, 'images/lower'))).toEqual([]);
});

test('ImageStore keeps what a sandbox boots from, whether or not it has a name', async () => {
  const [taken] = await store.take(folderOf(layoutFiles(image())), null);
  const manifest = taken?.manifest as Digest;
  const sandbox = join(dir, 'sandbox');
  mkdirSync(sandbox);
  await store.pin(sandbox, manifest);
  const { path } = await store.lower(manifest);
  await store.collect();
  expect(existsSync(path)).toBe(true);
  rmSync(sandbox, { recursive: true });
  await store.collect();
  expect(existsSync(path)).toBe(false);
});

test('ImageStore makes a file system image once, however many ask at a time', async () => {
  const [taken] = await store.take(folderOf(layoutFiles(image())), 'app');
  const other = await ImageStore.open(join(dir, 'images'));
  const made = await Promise.all(
    [1, 2, 3, 4].map(n => (n % 2 ? store : other).lower(taken?.manifest as Digest)),
  );
  expect(new Set(made.map(({ path }) => path)).size).toBe(1);
  expect(readdirSync(join(dir, 'images/lower')).filter(name => name.startsWith('.'))).toEqual([]);
});

test('ImageStore does not collect while another is adding', async () => {
  await store.adding(async () => {
    expect(await store.collect(AbortSignal.timeout(100))).toBeNull();
  });
  expect(await store.collect(AbortSignal.timeout(5000))).toBe(0);
});

test('ImageStore waits for a lock while its holder lives, and takes what a killed one left', async () => {
  const HOLD = 'open F, ">>", $ARGV[0]; flock F, 2; syswrite STDOUT, "held"; sleep 1000';
  const holder = spawn('perl', ['-e', HOLD, join(dir, 'images/lock')]);
  await once(holder.stdout, 'data');
  const waits = store.adding(() => Promise.resolve('in'), AbortSignal.timeout(200));
  await expect(waits).rejects.toThrow(/abort/i);
  holder.kill('SIGKILL');
  await once(holder, 'close');
  writeFileSync(join(dir, 'images/lock'), 'of a process that is gone');
  expect(await store.adding(() => Promise.resolve('in'))).toBe('in');
});

test('ImageStore removes what a killed process left half written', async () => {
  writeFileSync(join(dir, 'images/partial/new-0123'), 'half');
  mkdirSync(join(dir, 'images/trees/.half/etc'), { recursive: true });
  chmodSync(join(dir, 'images/trees/.half'), 0o700);
  writeFileSync(join(dir, 'images/refs/.half'), '{');
  await store.collect();
  for (const folder of ['partial', 'trees', 'refs'])
    expect(readdirSync(join(dir, 'images', folder))).toEqual([]);
});

test('ImageStore lets nobody else look into it', async () => {
  expect(statSync(join(dir, 'images')).mode & 0o777).toBe(0o700);
  chmodSync(join(dir, 'images'), 0o755);
  await ImageStore.open(join(dir, 'images'));
  expect(statSync(join(dir, 'images')).mode & 0o777).toBe(0o700);
});

const withBlob = (made: MadeImage, digest: string, bytes: Uint8Array): ReadonlyMap<string, Uint8Array> =>
  new Map([...layoutFiles(made), [`blobs/sha256/${digest.slice(7)}`, bytes]]);

function bomb(): MadeImage {
  return makeImage({ layers: [tar({ name: 'zeros', content: new Uint8Array(80 * 1024 * 1024) })] });
}

const lying = (): ReadonlyMap<string, Uint8Array> => {
  const layer = tar({ name: 'a', content: 'a' });
  const made = makeImage({ layers: [layer] });
  const config = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [sha256(Buffer.from('b'))] },
  };
  const bytes = Buffer.from(JSON.stringify(config));
  const manifest = {
    schemaVersion: 2,
    config: { ...made.config, digest: sha256(bytes), size: bytes.length },
    layers: made.layers,
  };
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  const blobs = new Map([...made.blobs, [sha256(bytes), bytes], [sha256(manifestBytes), manifestBytes]]);
  return layoutFiles({
    ...made,
    blobs,
    manifest: { ...made.manifest, digest: sha256(manifestBytes), size: manifestBytes.length },
  });
};

const hostile: readonly { name: string; files: () => ReadonlyMap<string, Uint8Array>; says: RegExp }[] = [
  {
    name: 'a layer of other bytes than its digest',
    files: () =>
      withBlob(image(), image().layers[0]?.digest ?? '', Buffer.alloc(image().layers[0]?.size ?? 0, 1)),
    says: /have the digest/,
  },
  {
    name: 'a layer that is longer than it should be',
    files: () => withBlob(image(), image().layers[0]?.digest ?? '', Buffer.alloc(9999)),
    says: /longer than/,
  },
  {
    name: 'a layer that is cut short',
    files: () => withBlob(image(), image().layers[0]?.digest ?? '', Buffer.alloc(9)),
    says: /ended after 9 of/,
  },
  {
    name: 'a gzip that is cut short',
    files: () =>
      layoutFiles(makeImage({ layers: [tar(...BASE)], pack: layer => gzipSync(layer).subarray(0, 99) })),
    says: /damaged gzip, or cut short/,
  },
  {
    name: 'a layer that unpacks to two hundred times its size',
    files: () => layoutFiles(bomb()),
    says: /200 times/,
  },
  { name: 'a configuration that promises another content', files: lying, says: /unpacks to sha256:/ },
  {
    name: 'a layer that climbs out',
    files: () => layoutFiles(makeImage({ layers: [tar({ name: '../../x', content: 'x' })] })),
    says: /layer sha256:.*\.\.\/\.\.\/x.*escapes/,
  },
  {
    name: 'a layer that is no archive',
    files: () => layoutFiles(makeImage({ layers: [Buffer.alloc(2048, 1)] })),
    says: /no tar archive/,
  },
  {
    name: 'an image for another machine',
    files: () =>
      layoutFiles({
        ...image(),
        manifest: { ...image().manifest, platform: { os: 'plan9', architecture: 'vax' } } as never,
      }),
    says: /no image for linux/,
  },
  {
    name: 'a manifest that is an index as well',
    files: () => {
      const bytes = Buffer.from(
        JSON.stringify({ schemaVersion: 2, manifests: [], layers: [], config: image().config }),
      );
      return withBlob(
        { ...image(), manifest: { ...image().manifest, digest: sha256(bytes), size: bytes.length } },
        sha256(bytes),
        bytes,
      );
    },
    says: /at once/,
  },
  {
    name: 'an index that is no JSON',
    files: () => new Map([...layoutFiles(image()), ['index.json', Buffer.from('{')]]),
    says: /not a JSON object/,
  },
];

test.each(hostile)('ImageStore refuses $name, and keeps no name for it', async ({ files, says }) => {
  await expect(store.take(folderOf(files()), 'evil')).rejects.toThrow(says);
  expect(await store.list()).toEqual([]);
  await store.collect();
  expect(readdirSync(join(dir, 'images/blobs/sha256'))).toEqual([]);
});

test('ImageStore refuses a layout whose blob is a link to a file of the host', async () => {
  const folder = folderOf(layoutFiles(image()));
  const blob = join(folder, 'blobs/sha256', (image().layers[0]?.digest ?? '').slice(7));
  writeFileSync(join(dir, 'elsewhere'), readFileSync(blob));
  rmSync(blob);
  symlinkSync(join(dir, 'elsewhere'), blob);
  await expect(store.take(folder, 'evil')).rejects.toThrow(/not a regular file/);
});

test('ImageStore refuses more bytes than its bounds', async () => {
  const bounded = await ImageStore.open(join(dir, 'bounded'), { bounds: { maxBytes: 4096 } });
  await expect(bounded.take(folderOf(layoutFiles(image())), 'big')).rejects.toMatchObject({
    code: 'LIMIT_EXCEEDED',
  });
});

test('ImageStore says of a blob that the disk damaged that it is', async () => {
  const [taken] = await store.take(folderOf(layoutFiles(image())), 'app');
  const path = store.blobs.path(image().layers[0]?.digest as Digest);
  writeFileSync(path, gzipSync(tar({ name: 'other', content: 'x' })));
  await expect(store.tree(taken?.manifest as Digest)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
});
