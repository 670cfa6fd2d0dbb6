import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Scripts } from './support.js';

let scripts: Scripts;
beforeAll(async () => {
  scripts = await Scripts.open();
});
afterAll(() => scripts.close());

const HOOK = 'export function onRequest() { return { allow: true }; }\n';

test.each([
  ['syntax.js', 'export function onRequest( {', /syntax\.js:1:\d+: SyntaxError/],
  ['throws.js', `${HOOK}\nnull.x`, /throws\.js:3:5: TypeError/],
  ['missing.js', `\n\nimport { x } from './nope.js';`, /missing\.js:3:20: there is no file '\.\/nope\.js'/],
  ['bare.js', `import fs from 'fs';\n${HOOK}`, /bare\.js:1:\d+: 'fs' is not a file beside the script/],
  ['outside.js', `import '../x.js';\n${HOOK}`, /outside\.js:1:9: '\.\.\/x\.js' is outside the folder/],
  [
    'unknown.js',
    `${HOOK}export function onRequset() {}`,
    /unknown\.js:2:17: 'onRequset' is exported and is no hook/,
  ],
  [
    'constant.js',
    'export const onRequest = 3;',
    /constant\.js:1:14: 'onRequest' is exported and is no function/,
  ],
  ['empty.js', '', /empty\.js: exports none of onResolve/],
  ['waits.js', `await 1;\n${HOOK}`, /waits\.js: waits for a promise/],
  ['enum.ts', `enum A { x }\n${HOOK}`, /enum\.ts:1:1: TypeScript enum is not supported/],
  ['types.ts', `let x: = 1;\n${HOOK}`, /types\.ts:1:8: /],
  [
    'position.ts',
    `type T = string;\nexport const a = (x: T) => x;\n\n  null.x;\n`,
    /position\.ts:4:\d+: TypeError/,
  ],
])('%s does not load, and its place is told', async (name, text, problem) => {
  scripts.file(name, text);
  expect(await scripts.load(name)).toMatchObject({ ok: false, error: expect.stringMatching(problem) });
});

test('a script that does not exist is told', async () => {
  expect(await scripts.load('nowhere.js')).toMatchObject({
    ok: false,
    error: expect.stringMatching(/does not exist/),
  });
});

test('an import of what is not exported is told where it stands', async () => {
  scripts.file('lib.js', 'export const a = 1;');
  scripts.file('asks.js', `import { a } from './lib.js';\nimport { b } from './lib.js';\n${HOOK}`);
  expect(await scripts.load('asks.js')).toMatchObject({
    ok: false,
    error: expect.stringMatching(/asks\.js:2:10: SyntaxError: Could not find export 'b'/),
  });
});

test('files beside the script are imported, TypeScript among them, and no others', async () => {
  scripts.file('typed.ts', 'export const limit: number = 3;\nexport interface Unused { a: string }\n');
  scripts.file(
    'main.ts',
    `import { limit } from './typed.js';\nexport function onTls() { return { deny: String(limit) }; }`,
  );
  const loaded = await scripts.load('main.ts');
  expect(loaded).toMatchObject({ ok: true, value: { hooks: ['onTls'] } });
  expect(loaded.ok && [...loaded.value.sources.keys()].sort()).toEqual(['main.ts', 'typed.ts']);
});

test('a link out of the folder is not followed', async () => {
  symlinkSync('/etc/hostname', join(scripts.folder, 'link.js'));
  scripts.file('links.js', `import './link.js';\n${HOOK}`);
  expect(await scripts.load('links.js')).toMatchObject({
    ok: false,
    error: expect.stringMatching(/link\.js: is outside the folder of the script/),
  });
});

test('a file that everybody may write is refused', async () => {
  const { chmodSync } = await import('node:fs');
  chmodSync(scripts.file('open.js', HOOK), 0o666);
  expect(await scripts.load('open.js')).toMatchObject({
    ok: false,
    error: expect.stringMatching(/chmod o-w/),
  });
});

test('a script that never ends while it is loaded is refused', async () => {
  scripts.file('loops.js', `${HOOK}for (;;);`);
  expect(await scripts.load('loops.js')).toMatchObject({
    ok: false,
    error: expect.stringMatching(/loops\.js: ran longer than \d+ ms and was ended while it was loaded/),
  });
});
