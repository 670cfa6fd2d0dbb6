import fc from 'fast-check';
import { candidates, missingExport, moduleName, placeOf, positionOf } from '../../src/script/modules.js';

test.each([
  ['policy.js', './a.js', 'a.js'],
  ['policy.js', './lib/a.ts', 'lib/a.ts'],
  ['lib/b.js', '../a.mjs', 'a.mjs'],
  ['lib/b.js', './../lib/./a.js', 'lib/a.js'],
  ['policy.js', '../a.js', null],
  ['lib/b.js', '../../a.js', null],
  ['policy.js', '/etc/a.js', null],
  ['policy.js', 'fs', null],
  ['policy.js', 'node:fs', null],
  ['policy.js', 'file:///a.js', null],
  ['policy.js', './a', null],
  ['policy.js', './a.json', null],
  ['policy.js', './a\0.js', null],
])('in %s, %s means %s', (importer, specifier, expected) => {
  const name = moduleName(importer, specifier);
  expect(name.ok ? name.value : null).toBe(expected);
});

test('no specifier leads out of the folder', () => {
  const part = fc.constantFrom('.', '..', 'a', '', '/', 'b.js', '%2e%2e', '\\');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), parts => {
      const name = moduleName('lib/deep/b.js', `./${parts.join('/')}/x.js`);
      if (name.ok) expect(name.value).not.toMatch(/^\/|^\.\.(?:\/|$)|\/\.\.\//);
    }),
    { seed: 7, numRuns: 500 },
  );
});

test('TypeScript may name a neighbour by what it would be compiled to', () => {
  expect(candidates('a.js')).toEqual(['a.js', 'a.ts']);
  expect(candidates('a.mjs')).toEqual(['a.mjs', 'a.mts']);
  expect(candidates('a.ts')).toEqual(['a.ts']);
});

test.each([
  ['    at f (lib.js:3:40)\n    at <anonymous> (policy.js:2:5)\n', { file: 'lib.js', line: 3, column: 40 }],
  ['    at policy.js:1:9\n', { file: 'policy.js', line: 1, column: 9 }],
  [
    '    at call (<prelude>:9:1)\n    at onRequest (a b/c.js:7:8)\n',
    { file: 'a b/c.js', line: 7, column: 8 },
  ],
  ['', null],
  ['    at native\n', null],
])('the place of %j is found', (stack, expected) => {
  expect(placeOf(stack)).toEqual(expected);
});

test('the import of a name that is not exported is found in the text', () => {
  const sources = new Map([
    ['policy.js', "import { a } from './x.js';\nimport {\n  nope,\n} from './lib.js';\n"],
  ]);
  expect(missingExport("Could not find export 'nope' in module 'lib.js'", sources)).toMatchObject({
    file: 'policy.js',
    line: 3,
    column: 3,
  });
  expect(missingExport('something else', sources)).toBeNull();
});

test('positions count from 1', () => {
  expect(positionOf('ab\ncd', 'd')).toEqual({ line: 2, column: 2 });
  expect(positionOf('ab', 'x')).toEqual({ line: 0, column: 0 });
});
