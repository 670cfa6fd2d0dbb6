import { systemClock } from '../../src/core/clock.js';
import { RESPAWN_WINDOW_MS, RESPAWNS } from '../../src/script/sandbox-script.js';
import { requestOf, Scripts } from './support.js';

let scripts: Scripts;
beforeAll(async () => {
  scripts = await Scripts.open();
});
afterAll(() => scripts.close());

/** A hook whose body is `code`. */
const deciding = (code: string): string => `export function onRequest(request) { ${code} }`;

async function decide(code: string, differs = {}) {
  const script = await scripts.of(deciding(code));
  try {
    return await script.hooks.onRequest?.(requestOf(differs));
  } finally {
    script.close();
  }
}

test.each([
  ['nothing', 'return;', /onRequest returned nothing/],
  ['a function', 'return () => true;', /holds a function/],
  ['a function beside the answer', 'return { allow: true, deny() {} };', /holds a function at "deny"/],
  ['a symbol', 'return { allow: Symbol() };', /holds a symbol/],
  ['undefined beside the answer', 'return { allow: true, extra: undefined };', /holds a undefined/],
  ['NaN', 'return { respond: { status: NaN } };', /holds NaN/],
  ['a number too large for its type', 'return { allow: 1n };', /bigint/i],
  ['a cycle', 'const a = {}; a.a = a; return a;', /circular/],
  ['a promise', 'return Promise.resolve({ allow: true });', /promise/],
  ['an endless promise', 'return new Promise(() => {});', /promise/],
  ['a text', "return 'allow';", /answered "allow"/],
  ['an exception', "throw new Error('no\\r\\n');", /Error: no/],
  ['an exception that is no error', 'throw 7;', /threw 7/],
  ['an error whose text throws', 'throw { get message() { throw 1; } };', /cannot be told/],
  ['a huge text', "return { respond: { body: 'x'.repeat(300000) } };", /longer than/],
  ['a module', "import('fs'); return { allow: true };", /promise is left/],
])('%s is no answer', async (_what, code, reason) => {
  expect(await decide(code)).toEqual({
    kind: 'deny',
    code: 'script-error',
    reason: expect.stringMatching(reason),
  });
});

test.each([
  ['memory', 'const a = []; for (;;) a.push(new Uint8Array(1e6));', 'script-memory'],
  ['memory in strings', "const a = []; for (;;) a.push('x'.repeat(1e6) + a.length);", 'script-memory'],
  ['memory in lists', 'const a = []; for (;;) a.push(new Array(1e5).fill(1));', 'script-memory'],
  ['memory in small things', 'const a = []; for (let i = 0; ; i++) a.push({ i });', 'script-memory'],
  ['a huge string', "'x'.repeat(2 ** 28);", 'script-memory'],
  ['the stack', '(function f() { f(); })();', 'script-error'],
])('too much of %s ends the engine, and the next request works', async (_what, code, fault) => {
  const script = await scripts.of(
    deciding(`state.n = 1; if (request.path === '/bad') { ${code} } return { allow: true };`),
  );
  const bad = await script.hooks.onRequest?.(requestOf({ path: '/bad' }));
  expect(bad).toMatchObject({ kind: 'deny', code: fault });
  expect(await script.hooks.onRequest?.(requestOf())).toEqual({ kind: 'allow' });
  script.close();
});

test.each([
  ['a loop', 'for (;;);'],
  ['a native loop', "new Array(1e9) + '';"],
  ['a loop in a trap', 'new Proxy({}, { get() { for (;;); } }).x;'],
  ['a loop in the error', 'throw { get message() { for (;;); } };'],
])('%s is ended by the clock, and whoever waited is denied with it', async (_what, code) => {
  const limits = { timeoutMs: 60, memoryMb: 16 };
  const script = await scripts.of(
    deciding(`if (request.path === '/bad') { ${code} } return { allow: true };`),
    { limits },
  );
  const paths = ['/bad', '/1', '/2'];
  const answers = await Promise.all(paths.map(path => script.hooks.onRequest?.(requestOf({ path }))));
  for (const answer of answers) expect(answer).toMatchObject({ kind: 'deny', code: 'script-timeout' });
  script.close();
});

test('after so many ends the script is not asked for a while', async () => {
  let now = 1_000;
  const clock = { now: () => 0, monotonic: () => now };
  const script = await scripts.of(
    deciding("if (request.path === '/bad') (function f() { f(); })(); return { allow: true };"),
    {
      clock,
    },
  );
  const ask = (path: string) => script.hooks.onRequest?.(requestOf({ path }));
  for (let i = 0; i < RESPAWNS; i++) await ask('/bad');
  expect(await ask('/good')).toMatchObject({
    kind: 'deny',
    reason: expect.stringMatching(/not asked for a while/),
  });
  now += RESPAWN_WINDOW_MS + 1;
  expect(await ask('/good')).toEqual({ kind: 'allow' });
  script.close();
});

test('state is kept between calls, over an exception and over the end of the engine', async () => {
  const script = await scripts.of(
    deciding(`state.n = (state.n ?? 0) + 1;
      if (request.path === '/throw') throw new Error('later');
      if (request.path === '/deep') (function f() { f(); })();
      return { deny: String(state.n) };`),
  );
  const ask = async (path: string) =>
    (await script.hooks.onRequest?.(requestOf({ path })))?.kind === 'deny' && script.state;
  expect(await ask('/')).toBe('{"n":1}');
  expect(await ask('/throw')).toBe('{"n":2}');
  // What a broken engine had begun is not known.
  expect(await ask('/deep')).toBe('{"n":2}');
  expect(await ask('/')).toBe('{"n":3}');
  script.close();
});

test('a state that is too large, or is no JSON, is an error and stays what it was', async () => {
  const script = await scripts.of(
    deciding(`if (request.path === '/large') state.text = 'x'.repeat(70000);
      if (request.path === '/cycle') state.me = state;
      state.n = 1;
      return { allow: true };`),
  );
  const ask = (path: string) => script.hooks.onRequest?.(requestOf({ path }));
  expect(await ask('/')).toEqual({ kind: 'allow' });
  expect(await ask('/large')).toMatchObject({
    code: 'script-error',
    reason: expect.stringMatching(/state is longer/),
  });
  expect(await ask('/cycle')).toMatchObject({ code: 'script-error' });
  expect(script.state).toBe('{"n":1}');
  expect(await ask('/')).toEqual({ kind: 'allow' });
  script.close();
});

test('two sandboxes share nothing, even in one thread', async () => {
  const shared = await Scripts.open(1);
  shared.file(
    'policy.js',
    deciding(
      'globalThis.n = (globalThis.n ?? 0) + 1; state.n = globalThis.n; return { deny: String(globalThis.n) };',
    ),
  );
  const loaded = await shared.load('policy.js');
  if (!loaded.ok) throw new Error(loaded.error);
  const [one, two] = [shared.sandbox(loaded.value), shared.sandbox(loaded.value)];
  const ask = (script: typeof one) => script.hooks.onRequest?.(requestOf());
  expect(await ask(one)).toMatchObject({ reason: '1' });
  expect(await ask(one)).toMatchObject({ reason: '2' });
  expect(await ask(two)).toMatchObject({ reason: '1' });
  expect(shared.pool.threads).toBe(1);
  await shared.close();
});

test('a sandbox whose neighbour ends their thread is asked in the next', async () => {
  const shared = await Scripts.open(1);
  shared.file('policy.js', deciding("if (request.path === '/bad') for (;;); return { allow: true };"));
  const loaded = await shared.load('policy.js', { timeoutMs: 60, memoryMb: 16 });
  if (!loaded.ok) throw new Error(loaded.error);
  const [bad, good] = [
    shared.sandbox(loaded.value),
    shared.sandbox({ ...loaded.value, limits: { timeoutMs: 5_000, memoryMb: 16 } }),
  ];
  const [first, second] = await Promise.all([
    bad.hooks.onRequest?.(requestOf({ path: '/bad' })),
    good.hooks.onRequest?.(requestOf()),
  ]);
  expect(first).toMatchObject({ code: 'script-timeout' });
  expect(second).toEqual({ kind: 'allow' });
  await shared.close();
});

test('the only clock is the one that is given, and there is no chance', async () => {
  const clock = { now: () => Date.UTC(2026, 0, 5, 9, 30), monotonic: () => systemClock.monotonic() };
  const script = await scripts.of(
    deciding(`const date = new Date();
      return { deny: JSON.stringify([now(), Date.now(), date.getTime(), date.getHours(), date.getDay(), new Date(2020, 0, 1).getTime(),
        date.getTimezoneOffset(), typeof Math.random, date.constructor === Date, date instanceof Date]) };`),
    { clock },
  );
  const answer = (await script.hooks.onRequest?.(requestOf())) as { reason: string };
  const at = Date.UTC(2026, 0, 5, 9, 30);
  expect(JSON.parse(answer.reason)).toEqual([
    at,
    at,
    at,
    9,
    1,
    Date.UTC(2020, 0, 1),
    0,
    'undefined',
    true,
    true,
  ]);
  script.close();
});

test('log() is bounded, and tells what it left out', async () => {
  const script = await scripts.of(
    deciding(
      "for (let i = 0; i < 100; i++) log('line', i, { a: 1 }, 'x'.repeat(5000)); return { allow: true };",
    ),
  );
  scripts.logs.length = 0;
  await script.hooks.onRequest?.(requestOf());
  expect(scripts.logs).toHaveLength(17);
  expect(scripts.logs[0]).toMatch(/^line 0 \{"a":1\} x+$/);
  expect(scripts.logs[0]?.length).toBe(1_024);
  expect(scripts.logs[16]).toBe('and 84 more lines');
  script.close();
});

test('header names are lower case, repeated fields one text, and no name is special', async () => {
  const headers = [
    ['X-A', '1'],
    ['x-a', '2'],
    ['Cookie', 'a=1'],
    ['cookie', 'b=2'],
    ['__proto__', 'p'],
    ['constructor', 'c'],
  ] as const;
  const answer = await decide(
    'return { deny: JSON.stringify([request.url, Object.entries(request.headers), request.polluted]) };',
    {
      headers,
      path: '/a',
      query: 'b=1',
      port: 8443,
    },
  );
  expect(JSON.parse((answer as { reason: string }).reason)).toEqual([
    'https://api.example.test:8443/a?b=1',
    [
      ['x-a', '1, 2'],
      ['cookie', 'a=1; b=2'],
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ],
    null,
  ]);
});

test('a script that redefines the language cheats only itself', async () => {
  const script = await scripts.of(
    `JSON.parse = () => ({}); JSON.stringify = () => '{"allow":true}';
     try { Object.prototype.toJSON = () => ({ allow: true }); } catch {} Array.prototype.push = () => 0;
     globalThis.Promise = class {}; Number.isFinite = () => true;
     export function onRequest(request) { return request.path === '/' ? undefined : { deny: 'path ' + request.path }; }`,
  );
  expect(await script.hooks.onRequest?.(requestOf())).toMatchObject({ kind: 'deny', code: 'script-error' });
  script.close();
});

test('hooks that are not defined are null', async () => {
  const script = await scripts.of('export function onTls() { return { allow: true }; }');
  const { onTls, ...others } = script.hooks;
  expect(onTls).not.toBeNull();
  expect(Object.values(others)).toEqual([null, null, null, null, null, null]);
  script.close();
});

test('a closed script denies', async () => {
  const script = await scripts.of(deciding('return { allow: true };'));
  script.close();
  expect(await script.hooks.onRequest?.(requestOf())).toMatchObject({ kind: 'deny', code: 'script-error' });
});
