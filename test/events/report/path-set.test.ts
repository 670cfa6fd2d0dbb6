import fc from 'fast-check';
import { PathSet } from '../../../src/events/report/path-set.js';
import { canonicalPath, matchesPath, parsePathGlob } from '../../../src/policy/path.js';

function globsOf(paths: readonly string[]): readonly string[] | null {
  const set = new PathSet();
  for (const path of paths) set.add(path);
  return set.globs();
}

interface Case {
  readonly name: string;
  readonly paths: readonly string[];
  readonly want: readonly string[] | null;
}

const many = (make: (n: number) => string, count = 20): string[] =>
  Array.from({ length: count }, (_, n) => make(n));

const cases: readonly Case[] = [
  { name: 'keeps a plain path', paths: ['/v1/user'], want: ['/v1/user'] },
  { name: 'keeps the root', paths: ['/'], want: ['/'] },
  { name: 'leaves out the query', paths: ['/s?q=1', '/s?q=2'], want: ['/s'] },
  {
    name: 'takes a number for an identifier',
    paths: ['/items/17', '/items/4711/edit'],
    want: ['/items/*', '/items/*/edit'],
  },
  { name: 'keeps a version', paths: ['/v2/x'], want: ['/v2/x'] },
  {
    name: 'takes a UUID, a hash, a token and a date for identifiers',
    paths: [
      '/a/0b7f3c1d-2e4a-5b61-8c8b-1f0c6a52f14e',
      '/b/8b1f0c6a52f14e6d9a0b7f3c1d2e4a5b',
      '/c/01ARZ3NDEKTSV4RRFFQ69G5FAV',
      '/d/2026-11-27',
    ],
    want: ['/a/*', '/b/*', '/c/*', '/d/*'],
  },
  {
    name: 'keeps a word that happens to be hexadecimal',
    paths: ['/deadbeef/cafe'],
    want: ['/deadbeef/cafe'],
  },
  {
    name: 'keeps the name of a file around its hash',
    paths: ['/js/app.3f2a9c1b.min.js'],
    want: ['/js/app.*.min.js'],
  },
  {
    name: 'takes a place with many names for a list',
    paths: many(n => `/pkg/${'abcdefghijklmnopqrst'[n]}x/latest`),
    want: ['/pkg/*/latest'],
  },
  { name: 'says nothing twice', paths: ['/items/17', '/items/new'], want: ['/items/*'] },
  { name: 'gives up where a path has two readings', paths: ['/a', '/a/../b'], want: null },
  { name: 'gives up for the asterisk of OPTIONS', paths: ['*'], want: null },
  { name: 'keeps escapes that must be', paths: ['/a%20b'], want: ['/a%20b'] },
  {
    name: 'stops at a depth',
    paths: [`/${many(n => `s${n}x`, 30).join('/')}`],
    want: [expect.stringMatching(/^\/s0x\/.*\/\*\*$/)] as never,
  },
];

for (const { name, paths, want } of cases) {
  test(`PathSet ${name}`, () => {
    expect(globsOf(paths)).toEqual(want);
  });
}

const segment = fc.oneof(
  fc.constantFrom('v1', 'items', 'a.b', '*', '**', '***', 'x*y', 'app.0123456a.js', '%20', '~u', "it's", ''),
  fc.integer({ min: 0, max: 99_999 }).map(String),
  fc.stringMatching(/^[a-z0-9._-]{1,30}$/),
);
const path = fc.array(segment, { minLength: 1, maxLength: 20 }).map(parts => `/${parts.join('/')}`);

test('every glob is one that a policy takes, and every path that was added matches one of them', () => {
  fc.assert(
    fc.property(fc.array(path, { minLength: 1, maxLength: 80 }), paths => {
      const globs = globsOf(paths)?.map(text => {
        const glob = parsePathGlob(text);
        if (!glob.ok) throw new Error(`${text}: ${glob.error}`);
        return glob.value;
      });
      const read = paths.map(canonicalPath);
      if (read.includes(null)) return void expect(globs).toBeUndefined();
      for (const each of read) expect(globs?.some(glob => matchesPath(glob, each ?? ''))).toBe(true);
      expect(globs?.length).toBeLessThanOrEqual(100);
    }),
    { seed: 6_032, numRuns: 400 },
  );
});

test('a hundred thousand paths become few globs', () => {
  const globs = globsOf(many(n => `/g${n % 300}/h${(n * 7) % 1_000}/leaf-${n}`, 100_000));
  expect(globs).not.toBeNull();
  expect(globs?.length).toBeLessThanOrEqual(48);
});
