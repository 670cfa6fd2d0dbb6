import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import type { Clock } from '../../../src/core/clock.js';
import { errorCode } from '../../../src/core/errors.js';
import { type Host, parseHost } from '../../../src/core/host.js';
import { Ca } from '../../../src/proxy/tls/ca.js';
import { compileSources } from '../../support/compiled.js';

const DAY_MS = 86_400_000;
const root = mkdtempSync(join(tmpdir(), 'sallyport-ca-'));
afterAll(() => rmSync(root, { recursive: true }));

let folders = 0;
const freshDir = (): string => join(root, `ca-${++folders}`);
const mode = (path: string): number => statSync(path).mode & 0o777;
const host = (text: string): Host => {
  const parsed = parseHost(text);
  if (!parsed.ok) throw new Error(`not a host: ${text}`);
  return parsed.value;
};

interface FakeClock extends Clock {
  nowMs: number;
}
function clockAt(nowMs: number): FakeClock {
  return { nowMs, now: () => clock.nowMs, monotonic: () => clock.nowMs } as FakeClock;
}
let clock: FakeClock;
beforeEach(() => {
  clock = clockAt(Date.now());
});

function thrownBy(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}

test('Ca.open makes a key of mode 0600 in a folder of mode 0700, and keeps it', () => {
  const dir = freshDir();
  const first = Ca.open({ dir });
  expect(mode(dir)).toBe(0o700);
  expect(mode(join(dir, 'ca.key'))).toBe(0o600);
  expect(mode(join(dir, 'ca.crt'))).toBe(0o644);
  expect(readdirSync(dir).sort()).toEqual(['ca.crt', 'ca.key']);
  expect(Ca.open({ dir }).certPem).toBe(first.certPem);
});

test('Ca.open closes an open folder that holds no key yet', () => {
  const dir = freshDir();
  mkdirSync(dir, { mode: 0o755 });
  Ca.open({ dir });
  expect(mode(dir)).toBe(0o700);
});

test('ten processes that open one folder at once get one key and one certificate', async () => {
  const compiled = compileSources(['core', 'proxy/tls']);
  try {
    const dir = freshDir();
    const script = `import { Ca } from '${compiled.dir}/proxy/tls/ca.js'; process.stdout.write(Ca.open({ dir: '${dir}' }).certPem);`;
    const run = promisify(execFile);
    const runs = Array.from({ length: 10 }, () =>
      run(process.execPath, ['--input-type=module', '-e', script]),
    );
    const seen = new Set((await Promise.all(runs)).map(({ stdout }) => stdout));
    expect([...seen]).toEqual([readFileSync(join(dir, 'ca.crt'), 'utf8')]);
    expect(readdirSync(dir).sort()).toEqual(['ca.crt', 'ca.key']);
  } finally {
    compiled.remove();
  }
});

interface Unsafe {
  readonly name: string;
  readonly spoil: (dir: string) => void;
  readonly code: string;
  readonly says: string;
}

const unsafe: Unsafe[] = [
  {
    name: 'a key that the group can read',
    spoil: dir => chmodSync(join(dir, 'ca.key'), 0o640),
    code: 'CA_UNSAFE',
    says: 'chmod 600 ',
  },
  {
    name: 'a folder that others can enter',
    spoil: dir => chmodSync(dir, 0o711),
    code: 'CA_UNSAFE',
    says: 'chmod 700 ',
  },
  {
    name: 'a certificate that others can write',
    spoil: dir => chmodSync(join(dir, 'ca.crt'), 0o666),
    code: 'CA_UNSAFE',
    says: 'chmod 644 ',
  },
  {
    name: 'a key behind a symbolic link',
    spoil: dir => {
      renameSync(join(dir, 'ca.key'), join(dir, 'elsewhere'));
      symlinkSync('elsewhere', join(dir, 'ca.key'));
    },
    code: 'CA_UNSAFE',
    says: 'symbolic link',
  },
  {
    name: 'a folder behind a symbolic link',
    spoil: dir => {
      renameSync(dir, `${dir}-real`);
      symlinkSync(`${dir}-real`, dir);
    },
    code: 'CA_UNSAFE',
    says: 'symbolic link',
  },
  {
    name: 'a key that is none',
    spoil: dir => writeFileSync(join(dir, 'ca.key'), 'SECRET WORDS'),
    code: 'CONFIG_INVALID',
    says: 'P-256',
  },
  {
    name: 'a certificate of another key',
    spoil: dir => writeFileSync(join(dir, 'ca.crt'), Ca.ephemeral().certPem),
    code: 'CONFIG_INVALID',
    says: 'remove ca.crt',
  },
];

for (const { name, spoil, code, says } of unsafe) {
  test(`Ca.open refuses ${name}, and says what to do`, () => {
    const dir = freshDir();
    Ca.open({ dir });
    spoil(dir);
    const error = thrownBy(() => Ca.open({ dir }));
    expect(errorCode(error)).toBe(code);
    expect(error.message).toContain(says);
    expect(error.message).not.toContain('SECRET');
  });
}

test('Ca.open refuses a folder that belongs to somebody else', () => {
  const us = process.geteuid?.() ?? 0;
  // An ordinary user finds such a folder in /etc; root makes one.
  const dir = us === 0 ? freshDir() : '/etc';
  if (us === 0) {
    mkdirSync(dir, { mode: 0o700 });
    chownSync(dir, 65_534, 65_534);
  }
  expect(errorCode(thrownBy(() => Ca.open({ dir })))).toBe('CA_UNSAFE');
  expect(existsSync(join(dir, 'ca.key'))).toBe(false);
});

test('Ca.open renews a certificate with less than 30 days left, and keeps the key', () => {
  const dir = freshDir();
  const first = new X509Certificate(Ca.open({ dir, clock }).certPem);
  const keyBefore = readFileSync(join(dir, 'ca.key'), 'utf8');
  clock.nowMs = Date.parse(first.validTo) - 31 * DAY_MS;
  expect(Ca.open({ dir, clock }).certPem).toBe(first.toString());
  clock.nowMs = Date.parse(first.validTo) - 29 * DAY_MS;
  const renewed = new X509Certificate(Ca.open({ dir, clock }).certPem);
  expect(Date.parse(renewed.validTo) - clock.nowMs).toBeGreaterThan(700 * DAY_MS);
  expect(renewed.subject).toBe(first.subject);
  expect(renewed.verify(first.publicKey)).toBe(true);
  expect(readFileSync(join(dir, 'ca.key'), 'utf8')).toBe(keyBefore);
  expect(Ca.open({ dir, clock }).certPem).toBe(renewed.toString());
});

test('leafContext gives one context for all spellings of one host, and mints again before it ends', () => {
  const ca = Ca.ephemeral({ clock });
  const first = ca.leafContext(host('allowed.test'), 'a');
  expect(ca.leafContext(host('ALLOWED.test.'), 'b')).toBe(first);
  clock.nowMs += 5.5 * DAY_MS;
  expect(ca.leafContext(host('allowed.test'), 'a')).toBe(first);
  clock.nowMs += DAY_MS;
  expect(ca.leafContext(host('allowed.test'), 'a')).not.toBe(first);
});

test('leafContext limits how fast one sandbox gets new names, and does not slow another', () => {
  const ca = Ca.ephemeral({ clock, rate: { perSecond: 2, burst: 3 } });
  for (const name of ['a.test', 'b.test', 'c.test']) ca.leafContext(host(name), 'greedy');
  expect(errorCode(thrownBy(() => ca.leafContext(host('d.test'), 'greedy')))).toBe('LIMIT_EXCEEDED');
  ca.leafContext(host('a.test'), 'greedy');
  ca.leafContext(host('d.test'), 'modest');
  clock.nowMs += 500;
  ca.leafContext(host('e.test'), 'greedy');
  expect(errorCode(thrownBy(() => ca.leafContext(host('f.test'), 'greedy')))).toBe('LIMIT_EXCEEDED');
});

test('leaves that only refuse never push out a leaf that serves', () => {
  const ca = Ca.ephemeral({ clock, rate: { perSecond: 1, burst: 1000 } });
  const served = ca.leafContext(host('allowed.test'), 'a');
  const refused = ca.leafContext(host('denied-0.test'), 'a', 'refuse');
  for (let i = 1; i <= 100; i++) ca.leafContext(host(`denied-${i}.test`), 'a', 'refuse');
  expect(ca.leafContext(host('allowed.test'), 'a')).toBe(served);
  expect(ca.leafContext(host('denied-0.test'), 'a', 'refuse')).not.toBe(refused);
});

test('a Ca shows its key to nobody', () => {
  const dir = freshDir();
  const ca = Ca.open({ dir });
  const secret = readFileSync(join(dir, 'ca.key'), 'utf8').split('\n')[1] ?? '';
  expect(secret.length).toBeGreaterThan(40);
  const shown = inspect(ca, { depth: 10, showHidden: true }) + JSON.stringify(ca);
  expect(shown).not.toContain(secret);
  expect(shown).not.toContain('PRIVATE KEY');
});
