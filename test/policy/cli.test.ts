import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCheck } from '../../src/cli/check.js';
import { type ExplainArgs, runExplain } from '../../src/cli/explain.js';
import type { Io } from '../../src/cli/io.js';
import { PROFILES } from '../../src/policy/load.js';

function recorder() {
  const written = { stdout: '', stderr: '' };
  const io: Io = {
    stdout: text => {
      written.stdout += text;
    },
    stderr: text => {
      written.stderr += text;
    },
    colour: false,
  };
  return { written, io };
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(content: string): string {
  const path = join(folder, 'policy.yaml');
  writeFileSync(path, content);
  chmodSync(path, 0o600);
  return path;
}

test('check passes the profiles and says what is in them', async () => {
  const { written, io } = recorder();
  for (const name of PROFILES) expect(await runCheck(name, io)).toBe(0);
  expect(written.stderr).toBe('');
  expect(written.stdout).toContain(
    'strict: mode block_all, 0 domain rules, 0 CIDR rules, 0 secrets, 4 examples passed\n',
  );
});

test('check lists every problem and exits with 2', async () => {
  const path = file('mode: x\nallow_domain: ["*a.test", "b.test:0"]\n');
  const { written, io } = recorder();
  expect(await runCheck(path, io)).toBe(2);
  expect(written.stdout).toBe('');
  expect(written.stderr.split('\n')).toEqual([
    expect.stringContaining('policy.yaml:1: mode: expected'),
    expect.stringContaining(`policy.yaml:2: allow_domain[0]: '*a.test'`),
    expect.stringContaining(`policy.yaml:2: allow_domain[1]: 'b.test:0'`),
    expect.stringContaining('policy.yaml: 3 problems'),
    '',
  ]);
});

test('check shows the example that failed, the warnings, and exits with 1', async () => {
  const path = file(
    'allow_domain: ["*.com"]\nexamples:\n  - { url: "https://a.test/", expect: allow }\n  - { url: "https://a.com/", expect: allow }\n',
  );
  const { written, io } = recorder();
  expect(await runCheck(path, io)).toBe(1);
  expect(written.stderr).toContain('warning: allow_domain[0]: anybody can have a name under *.com');
  expect(written.stderr).toContain('examples[0]: expected allow; got deny: no-rule');
  expect(written.stdout).toContain('1 of 2 examples failed');
});

test('check exits with 2 for a file that does not exist', async () => {
  const { written, io } = recorder();
  expect(await runCheck(join(folder, 'absent.yaml'), io)).toBe(2);
  expect(written.stderr).toContain('does not exist');
});

async function explained(args: ExplainArgs): Promise<string> {
  const { written, io } = recorder();
  const code = await runExplain(args, io);
  return `${code}\n${written.stdout}${written.stderr}`;
}

test('explain shows each question of an allowed request', async () => {
  const flags = { allow: ['api.test'], secret: ['TOKEN@api.test'] };
  expect(await explained({ subject: 'https://api.test/user', ...flags, resolvesTo: ['1.1.1.1'] })).toBe(
    [
      '0',
      'allowed: https://api.test/user',
      '  resolve api.test  →  allow   --allow api.test',
      '  open    api.test port 443  →  allow   --allow api.test',
      '  tls     api.test port 443  →  allow   --allow api.test',
      '  request GET https://api.test/user  →  allow   --allow api.test',
      '  dial    1.1.1.1 port 443  →  allow   --allow api.test',
      '  secrets in scope: TOKEN',
      '',
    ].join('\n'),
  );
});

test.each<[string, ExplainArgs, string[]]>([
  [
    'an unknown host',
    { subject: 'https://evil.test/' },
    ['1\nrefused: https://evil.test/', 'refuse  no-rule', '--allow evil.test would'],
  ],
  ['a private address', { subject: 'http://10.0.0.1/' }, ['1\n', 'private-address', '--allow-cidr 10.0.0.1']],
  [
    'a private answer',
    { subject: 'https://a.test/', allow: ['a.test'], resolvesTo: ['10.0.0.1'] },
    ['1\n', 'dial    10.0.0.1'],
  ],
  [
    'a method',
    { subject: 'https://api.github.com/x', policy: ['balanced'], method: 'POST' },
    ['1\n', 'method-not-allowed by allow_domain['],
  ],
  [
    'raw TCP',
    { subject: 'db.test:5432', allow: ['db.test:5432'] },
    ['0\nallowed: db.test:5432', '(tunnel)', 'any bytes may pass'],
  ],
  [
    'raw TCP on a web port',
    { subject: 'a.test', allow: ['a.test'] },
    ['0\n', 'only HTTP may pass', 'try --resolves-to'],
  ],
  [
    'a pin',
    { subject: 'https://a.test/', allow: ['a.test'], addHost: ['a.test=127.0.0.1:8443'] },
    ['0\n', 'dial    127.0.0.1 port 8443  →  allow   add_hosts.a.test'],
  ],
  ['a bad target', { subject: 'https://a b/' }, ['2\n', `'https://a b/' is not an http or https URL`]],
  [
    'a bad flag',
    { subject: 'a.test', allow: ['*a.test'] },
    ['2\n', `--allow: '*a.test' is not a host pattern`],
  ],
  ['a bad policy', { subject: 'a.test', policy: ['/nonexistent'] }, ['2\n', 'does not exist']],
  ['a bad method', { subject: 'https://a.test/', method: 'A B' }, ['2\n', `'A B' is not a method`]],
  [
    'a bad address',
    { subject: 'https://a.test/', resolvesTo: ['1.2.3'] },
    ['2\n', `'1.2.3' is not an IP address`],
  ],
])('explain speaks of %s', async (_, args, wants) => {
  const seen = await explained(args);
  for (const want of wants) expect(seen).toContain(want);
});

test('explain --json is one line of verdicts', async () => {
  const seen = await explained({ subject: 'https://evil.test/', json: true });
  expect(JSON.parse(seen.slice(2))).toEqual([
    {
      ask: 'resolve',
      about: 'evil.test',
      allow: false,
      rule: null,
      reason: 'no-rule',
      hint: expect.any(String),
    },
  ]);
});
