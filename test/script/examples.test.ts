/** The example scripts, run as an operator would run them; and what `sallyport script` says when they are wrong. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCheck } from '../../src/cli/check.js';
import type { Io } from '../../src/cli/io.js';
import { runScriptReplay, runScriptTest } from '../../src/cli/script.js';
import { encodeEvent } from '../../src/events/encode.js';
import { Workplace } from '../support/cli.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

const FOLDER = join('policies', 'scripts');
const ROOT = join(__dirname, '..', '..');

const place = new Workplace();
afterAll(() => place.remove());

async function run(work: (io: Io) => Promise<number>) {
  const out: string[] = [];
  const errors: string[] = [];
  const io = {
    stdout: (text: string) => void out.push(text),
    stderr: (text: string) => void errors.push(text),
    colour: false,
  };
  return { code: await work(io), out: out.join(''), errors: errors.join('') };
}

const scripts = readdirSync(FOLDER)
  .filter(name => /\.test\.js$/.test(name))
  .map(name => name.replace('.test.js', '.js'));

test('there are six example scripts', () => {
  expect(scripts).toHaveLength(6);
});

test.each(scripts)('every example of %s comes out as it says', async name => {
  const { code, out, errors } = await run(io => runScriptTest(join(FOLDER, name), io));
  expect(errors).toBe('');
  expect(out).toMatch(/(\d+) of \1 examples as expected\n$/);
  expect(code).toBe(0);
});

test('the types that editors are given fit the example scripts', () => {
  const files = readdirSync(FOLDER).map(name => join(FOLDER, name));
  const flags = [
    '--ignoreConfig',
    '--noEmit',
    '--allowJs',
    '--checkJs',
    '--strict',
    '--target',
    'es2023',
    '--lib',
    'es2023',
  ];
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
  const args = [...flags, '--module', 'nodenext', '--types', '', 'types/policy-script.d.ts', ...files];
  expect(() => execFileSync(tsc, args, { cwd: ROOT, stdio: 'pipe' })).not.toThrow();
});

const POLICY = `export function onRequest(request) {
  if (request.method === 'PUT') return { rewrite: { headers: { Host: 'x' } } };
  if (request.method === 'PATCH') return { rewrite: { path: '/b', headers: { 'X-A': '1' } } };
  return request.method === 'GET' ? { allow: true } : { deny: 'only GET' };
}`;

test('what comes out otherwise is told with its place, and what it is', async () => {
  const path = place.file('policy.js', POLICY);
  place.file(
    'policy.test.js',
    `example({ url: 'https://a.test/' }).allows();
example({ url: 'https://a.test/', method: 'POST' }).allows();
example({ url: 'https://a.test/', method: 'PUT' }).fails('script-error');
example({ url: 'https://a.test/a?q=1', method: 'PATCH' }).rewrites({ path: '/b', headers: { 'x-a': '1' } });
example({ url: 'not a url' }).allows();
example({ url: 'https://a.test/' });
example.onTls({ sni: 'a.test' }).allows();
`,
  );
  const { code, out, errors } = await run(io => runScriptTest(path, io));
  expect(code).toBe(1);
  expect(out).toContain('3 of 7 examples as expected');
  expect(errors.split('\n').map(line => line.replace(/^.*policy/, 'policy'))).toEqual([
    'policy.test.js:2: onRequest: expected allows, got a denial: only GET',
    "policy.test.js:5: onRequest: 'not a url' is no http or https URL (bad-scheme)",
    'policy.test.js:6: onRequest: states nothing: call .allows(), .denies() or another on it',
    'policy.test.js:7: onTls: the script does not define onTls',
    '',
  ]);
});

test.each([
  ['a script that does not load', 'bad.js', 'export function onRequest( {', /bad\.js:1:\d+: SyntaxError/],
  ['a script without examples', 'alone.js', POLICY, /there is no alone\.test\.js beside it/],
])('%s is told', async (_what, name, source, message) => {
  const other = new Workplace();
  const { code, errors } = await run(io => runScriptTest(other.file(name, source), io));
  other.remove();
  expect(errors).toMatch(message);
  expect(code).toBe(2);
});

test('a recorded log is replayed, and what would come out otherwise is printed', async () => {
  const path = place.file('policy.js', POLICY);
  const bodies = [
    allowedBody({ method: 'GET', url: 'https://a.test/1' }),
    allowedBody({ method: 'POST', url: 'https://a.test/2' }),
    refusedBody({
      method: 'GET',
      url: 'https://a.test/3',
      reason: 'script',
      block_reason: 'a former script',
    }),
    refusedBody({ method: 'GET', url: 'https://a.test/4', reason: 'no-rule' }),
  ];
  const lines = bodies.map((body, i) => encodeEvent(numbered(body, i + 1)));
  const log = place.file('old.jsonl', `${lines.join('')}{"type":"request.do`);
  const { code, out } = await run(io => runScriptReplay(path, log, io));
  expect(out.split('\n')).toEqual([
    'would refuse POST https://a.test/2 (a denial: only GET)',
    'would let through GET https://a.test/3 (was script: a former script)',
    '5 events, 3 asked about, 2 would come out otherwise',
    '',
  ]);
  expect(code).toBe(0);
});

test('a log that does not exist is told', async () => {
  const { code, errors } = await run(io =>
    runScriptReplay(place.file('policy.js', POLICY), '/nonexistent.jsonl', io),
  );
  expect(errors).toContain('ENOENT');
  expect(code).toBe(2);
});

test('sallyport check looks at the script too', async () => {
  place.file('broken.js', 'export function onRequest( {');
  const policy = place.file('policy.yaml', 'allow_domain: [a.test]\npolicy_script: broken.js\n');
  const { code, errors } = await run(io => runCheck(policy, io));
  expect(errors).toMatch(/broken\.js:1:\d+: SyntaxError/);
  expect(code).toBe(2);
});
