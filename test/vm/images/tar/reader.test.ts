import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { emitEnd, emitEntry, emitPadding } from '../../../../src/vm/images/tar/emit.js';
import type { TarEntry, TarFault, TarType } from '../../../../src/vm/images/tar/entry.js';
import { TarReader } from '../../../../src/vm/images/tar/reader.js';
import { entry, extended, forged, member, type Spec, tar } from '../../../support/tar.js';

interface Read {
  readonly entries: readonly TarEntry[];
  readonly content: string;
  readonly fault: TarFault | null;
}

/** Reads `bytes`, cut at `cuts`. */
function read(bytes: Uint8Array, cuts: readonly number[] = []): Read {
  const reader = new TarReader();
  const entries: TarEntry[] = [];
  let content = '';
  const at = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let piece = 1; piece < at.length; piece += 1) {
    const events = reader.push(bytes.subarray(at[piece - 1], at[piece]));
    if (!events.ok) return { entries, content, fault: events.error };
    for (const event of events.value) {
      if (event.type === 'entry') {
        entries.push(event.entry);
        content += '|';
      } else {
        content += Buffer.from(event.bytes).toString('latin1');
      }
    }
  }
  const end = reader.end();
  return { entries, content, fault: end.ok ? null : end.error };
}

const END = Buffer.from(emitEnd());
const FILE: Spec = { name: 'a', content: 'hello' };

const refused: readonly { name: string; bytes: Uint8Array; fault: TarFault }[] = [
  { name: 'an empty file', bytes: new Uint8Array(), fault: 'truncated' },
  { name: 'an archive without its end', bytes: member(FILE), fault: 'truncated' },
  {
    name: 'one block of zeros for an end',
    bytes: Buffer.concat([member(FILE), END.subarray(512)]),
    fault: 'truncated',
  },
  { name: 'content cut short', bytes: tar(FILE).subarray(0, 514), fault: 'truncated' },
  { name: 'bytes after its end', bytes: Buffer.concat([tar(FILE), tar(FILE)]), fault: 'trailing-data' },
  {
    name: 'a member after one block of zeros',
    bytes: Buffer.concat([member(FILE), END.subarray(512), tar(FILE)]),
    fault: 'trailing-data',
  },
  { name: 'a wrong checksum', bytes: Buffer.concat([Buffer.alloc(512, 1), END]), fault: 'bad-checksum' },
  {
    name: 'a header of before POSIX',
    bytes: forged(FILE, head => head.fill(0, 257, 265)),
    fault: 'bad-magic',
  },
  {
    name: 'a size that is no number',
    bytes: forged(FILE, head => head.write('12x', 124)),
    fault: 'bad-number',
  },
  { name: 'a negative size', bytes: forged(FILE, head => head.fill(0xff, 124, 136)), fault: 'bad-number' },
  {
    name: 'a size beyond what a number holds',
    bytes: forged(FILE, head => head.fill(0x7f, 125, 136).writeUInt8(0x80, 124)),
    fault: 'bad-number',
  },
  { name: 'an empty name', bytes: forged(FILE, head => head.fill(0, 0, 100)), fault: 'bad-name' },
  { name: 'a link to nothing', bytes: member({ name: 'l', type: 'symlink' }), fault: 'bad-name' },
  { name: 'a sparse member', bytes: forged(FILE, head => head.write('S', 156)), fault: 'bad-type' },
  { name: 'a contiguous member', bytes: forged(FILE, head => head.write('7', 156)), fault: 'bad-type' },
  { name: 'a volume of several', bytes: forged(FILE, head => head.write('M', 156)), fault: 'bad-type' },
  {
    name: 'a file with the name of a folder',
    bytes: member({ name: 'a/', content: 'x' }),
    fault: 'bad-type',
  },
  {
    name: 'a folder with content',
    bytes: forged(FILE, head => head.write('5', 156)),
    fault: 'unexpected-content',
  },
  {
    name: 'a hard link with content',
    bytes: forged({ ...FILE, link: 'b' }, head => head.write('1', 156)),
    fault: 'unexpected-content',
  },
  { name: 'a pax record of a wrong length', bytes: extended('x', '8 path=b\n'), fault: 'bad-pax' },
  { name: 'a pax record without a key', bytes: extended('x', '5 =b\n'), fault: 'bad-pax' },
  { name: 'a pax key twice', bytes: extended('x', '10 path=b\n10 path=c\n'), fault: 'bad-pax' },
  { name: 'a pax key that it does not know', bytes: extended('x', '13 magic=yes\n'), fault: 'bad-pax' },
  { name: 'a sparse member of pax', bytes: extended('x', '22 GNU.sparse.major=1\n'), fault: 'bad-type' },
  { name: 'a pax size that is negative', bytes: extended('x', '11 size=-1\n'), fault: 'bad-number' },
  { name: 'a NUL in a pax path', bytes: extended('x', '12 path=a\0b\n'), fault: 'bad-name' },
  { name: 'a global header that changes members', bytes: extended('g', '10 path=b\n'), fault: 'bad-pax' },
  {
    name: 'an extended header that nothing follows',
    bytes: Buffer.concat([extended('x', '10 path=b\n'), END]),
    fault: 'stray-header',
  },
  {
    name: 'two extended headers for one member',
    bytes: Buffer.concat([extended('x', '10 path=b\n'), extended('x', '9 uid=12\n'), tar(FILE)]),
    fault: 'stray-header',
  },
  {
    name: 'a name by GNU and by pax',
    bytes: Buffer.concat([extended('x', '10 path=b\n'), extended('L', 'long\0'), tar(FILE)]),
    fault: 'stray-header',
  },
  { name: 'a long name with more behind its NUL', bytes: extended('L', 'a\0b'), fault: 'bad-name' },
  {
    name: 'an extended header of two gigabytes',
    bytes: forged({ name: 'pax' }, head => {
      head.write('20000000000', 124);
      head.write('x', 156);
    }),
    fault: 'too-long',
  },
];

test.each(refused)('TarReader refuses $name', ({ bytes, fault }) => {
  expect(read(bytes).fault).toBe(fault);
});

test('TarReader gives names, kinds, owners, times and content', () => {
  const specs: readonly Spec[] = [
    { name: 'etc/', type: 'directory', mode: 0o700, uid: 5, gid: 6 },
    { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/sh\n', mode: 0o4755 },
    { name: 'bin', type: 'symlink', link: '/usr/bin' },
    { name: 'shadow', type: 'hardlink', link: 'etc/passwd' },
    { name: 'dev/null', type: 'char', device: { major: 1, minor: 3 } },
    { name: 'pipe', type: 'fifo' },
  ];
  const { entries, content, fault } = read(tar(...specs));
  expect(fault).toBeNull();
  expect(entries).toEqual(specs.map(entry));
  expect(content).toBe('||root:x:0:0::/:/bin/sh\n||||');
});

test('TarReader takes a comment for all members, and changes none by it', () => {
  const archive = Buffer.concat([extended('g', '16 comment=a1b2\n'), tar(FILE)]);
  expect(read(archive)).toMatchObject({ fault: null, entries: [{ name: 'a' }] });
});

test('TarReader reads what GNU tar writes, in each of its formats', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tar-'));
  try {
    const long = `${'deep/'.repeat(25)}${'n'.repeat(120)}`;
    mkdirSync(join(folder, 'deep/'.repeat(25)), { recursive: true });
    writeFileSync(join(folder, long), 'long');
    symlinkSync(long, join(folder, 'link'));
    for (const format of ['gnu', 'pax', 'posix']) {
      const { stdout, status } = spawnSync('tar', ['-c', `--format=${format}`, 'link', long], {
        cwd: folder,
      });
      expect(status).toBe(0);
      const { entries, content, fault } = read(stdout);
      expect({ format, fault, content }).toEqual({ format, fault: null, content: '||long' });
      expect(entries.map(({ name, link }) => [name, link])).toEqual([
        ['link', long],
        [long, ''],
      ]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const text = (max: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: 1, maxLength: max })
    .map(bytes => Buffer.from(bytes).toString('latin1').replaceAll('\0', 'n').replace(/\/$/, '_'));

const anyEntry: fc.Arbitrary<Spec> = fc
  .record({
    name: text(300),
    type: fc.constantFrom<TarType>('file', 'directory', 'symlink', 'hardlink', 'char', 'block', 'fifo'),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 }),
    gid: fc.integer({ min: 0, max: 2 ** 32 }),
    mtime: fc.integer({ min: -1000, max: 2 ** 34 }),
    link: text(300),
    content: text(1500),
    xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,9}$/), fc.uint8Array({ maxLength: 40 })),
  })
  .map(({ xattrs, link, content, ...rest }) => ({
    ...rest,
    link: rest.type === 'symlink' || rest.type === 'hardlink' ? link : '',
    content: rest.type === 'file' ? Buffer.from(content, 'latin1') : '',
    xattrs: new Map(Object.entries(xattrs)),
  }));

test('TarReader reads back what emitEntry writes, however it is cut', () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 9 }), (specs, cuts) => {
      const entries = specs.map(entry);
      const archive = Buffer.concat([
        ...specs.flatMap((spec, index) => {
          const made = entries[index] as TarEntry;
          return [emitEntry(made), Buffer.from(spec.content ?? ''), emitPadding(made.size)];
        }),
        emitEnd(),
      ]);
      const whole = read(archive);
      expect(whole.fault).toBeNull();
      expect(whole.entries).toEqual(entries);
      expect(read(archive, cuts)).toEqual(whole);
    }),
    { seed: 7, numRuns: 300 },
  );
});

test('TarReader never throws on random bytes, nor on a good archive with some of its bytes changed', () => {
  const good = tar({ name: 'n'.repeat(200), content: 'x'.repeat(700) }, { name: 'b', type: 'directory' });
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2000 }),
      fc.nat(),
      fc.array(fc.nat(), { maxLength: 4 }),
      (noise, at, cuts) => {
        read(noise, cuts);
        const changed = Buffer.from(good);
        changed.set(noise.subarray(0, 8), at % (good.length - 8));
        expect(read(changed, cuts).fault).toEqual(read(changed).fault);
      },
    ),
    { seed: 8, numRuns: 1000 },
  );
});
