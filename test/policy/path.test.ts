import fc from 'fast-check';
import { canonicalPath, matchesPath, parsePathGlob } from '../../src/policy/path.js';

function matches(glob: string, target: string): boolean | null {
  const parsed = parsePathGlob(glob);
  if (!parsed.ok) throw new Error(parsed.error);
  const path = canonicalPath(target);
  return path === null ? null : matchesPath(parsed.value, path);
}

test.each([
  ['/', '/', true],
  ['/', '/a', false],
  ['/a', '/a?b=c', true],
  ['/a', '/a/', false],
  ['/a', '/A', false],
  ['/*', '/a', true],
  ['/*', '/', true],
  ['/*', '/a/b', false],
  ['/**', '/', true],
  ['/**', '/a/b/c', true],
  ['/v1/*', '/v1/x', true],
  ['/v1/*', '/v1/x/y', false],
  ['/v1/*', '/v1', false],
  ['/v1/**', '/v1/x/y', true],
  ['/v1/**', '/v10/x', false],
  ['/repos/*/issues', '/repos/a/issues', true],
  ['/repos/*/issues', '/repos/a/b/issues', false],
  ['/repos/**/issues', '/repos/a/b/issues', true],
  ['/a*c*e', '/abcde', true],
  ['/a*c*e', '/abce/e', false],
  ['/*.json', '/x.y.json', true],
  ['/**.json', '/x/y.json', true],
  ['/a*/**/z', '/ab/c/d/z', true],
  ['/caf%c3%a9', '/caf%C3%A9', true],
  ['/x', '/x?../../y', true],
])('the glob %s against %s is %s', (glob, target, want) => {
  expect(matches(glob, target)).toBe(want);
});

test.each([
  ...[
    '/a/../b',
    '/a/./b',
    '/..',
    '/a/..',
    '//a',
    '/a//b',
    '/a;b',
    '/a/..;/b',
    '/a\\b',
    '/%2e%2e/a',
    '/%2E/a',
    '/a%2fb',
    '/a%2Fb',
  ],
  ...[
    '/a%5cb',
    '/a%00',
    '/a%0a',
    '/%61',
    '/%7e',
    '/a%25b',
    '/a%3fb',
    '/a%23b',
    '/a%3bb',
    '/a%',
    '/a%2',
    '/a%zz',
    '/%u002e',
    '/a b',
  ],
  ...['/a#b', '/a\0', '/\u00e9', '/a|b', '/a"b', 'a', '', '*', 'http://x/a', '/a%40b', '/a\t'],
])('%j has more than one reading', target => {
  expect(canonicalPath(target)).toBeNull();
});

test.each([
  '/',
  '/a',
  '/a/',
  '/a/.b',
  '/a/b..',
  '/...',
  '/a:b@c',
  '/~x',
  "/a!$&'()*+,=",
  '/a%20b',
  '/caf%C3%A9',
  '/%7B%7D',
  '/a?x=../..//;',
])('%j has one reading', target => {
  expect(canonicalPath(target)).not.toBeNull();
});

test.each(['', 'a', '*', '/a?b', '/a#b', '/a/../b', '//', '/***', '/%61', '/*/*/*/*/*/*/*/*/*'])(
  'parsePathGlob refuses %j',
  text => {
    expect(parsePathGlob(text).ok).toBe(false);
  },
);

/** The same by a regular expression, which the gateway itself never builds from text. */
function reference(glob: string): RegExp {
  const parts = glob.split(/(\*\*?)/).map(part => {
    if (part === '**') return '.*';
    return part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`, 's');
}

test('matchesPath agrees with a regular expression', () => {
  const units = fc.constantFrom('a', 'b', '/', '*', '**', 'ab', '.');
  const globs = fc.array(units, { maxLength: 9 }).map(parts => `/${parts.join('')}`);
  const paths = fc
    .array(fc.constantFrom('a', 'b', '/a', '/b', 'ab', '.'), { maxLength: 9 })
    .map(parts => `/${parts.join('')}`);
  fc.assert(
    fc.property(globs, paths, (glob, path) => {
      const parsed = parsePathGlob(glob);
      const target = canonicalPath(path);
      if (!parsed.ok || target === null) return;
      expect([glob, path, matchesPath(parsed.value, target)]).toEqual([
        glob,
        path,
        reference(glob).test(path),
      ]);
    }),
    { seed: 20261122, numRuns: 5000 },
  );
});

test('the worst glob against the longest path stays within path length times stars', () => {
  const parsed = parsePathGlob(`/${'**a'.repeat(8)}b`);
  if (!parsed.ok) throw new Error(parsed.error);
  // A backtracking matcher would not end in a lifetime.
  expect(matchesPath(parsed.value, `/${'a'.repeat(8000)}`)).toBe(false);
});

test('no text makes canonicalPath throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      canonicalPath(text);
      parsePathGlob(text);
    }),
    { seed: 20261122, numRuns: 2000 },
  );
});
