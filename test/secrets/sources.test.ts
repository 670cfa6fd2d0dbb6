import { openSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.js';
import { err } from '../../src/core/result.js';
import { reveal } from '../../src/secrets/secret.js';
import type { SigningSpec } from '../../src/secrets/signing/spec.js';
import { Fetcher } from '../../src/secrets/sources/fetcher.js';
import type { ValueSource } from '../../src/secrets/sources/source.js';
import { loadSecrets, secretsUnavailable } from '../../src/secrets/sources.js';
import type { SecretSpec } from '../../src/secrets/spec.js';

const VALUE = 'sk-live+REAL/value=0123456789';
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-secrets-'));
  await writeFile(join(folder, 'plain'), VALUE);
  await writeFile(join(folder, 'line'), `${VALUE}\n`);
  await writeFile(join(folder, 'lines'), `${VALUE}\n\n`);
  await writeFile(join(folder, 'empty'), '\n');
  await writeFile(join(folder, 'binary'), Uint8Array.of(0xff, 0xfe, 0x41));
  await writeFile(join(folder, 'large'), 'x'.repeat(70_000));
});
afterAll(() => rm(folder, { recursive: true }));

function spec(name: string, valueFrom: ValueSource, more: Partial<SecretSpec> = {}): SecretSpec {
  return { name, valueFrom, placeholder: null, allowHttp: false, ...more };
}

const file = (name: string): ValueSource => ({ kind: 'file', path: join(folder, name) });
const command = (line: string | readonly string[]): ValueSource => ({ kind: 'command', command: line });

const sources: readonly (readonly [string, () => ValueSource])[] = [
  ['a variable', () => ({ kind: 'env', name: 'FROM' })],
  ['a flag', () => ({ kind: 'literal' })],
  ['a file', () => file('plain')],
  ['a file that ends in a line break', () => file('line')],
  ['a command and its arguments', () => command(['printf', '%s', VALUE])],
  ['a command line', () => command(`echo '${VALUE}' | cat`)],
];

for (const [name, source] of sources) {
  test(`a value comes from ${name}`, async () => {
    const loaded = await loadSecrets([spec('T', source())], { FROM: VALUE }, new Map([['T', VALUE]]));
    expect(loaded.ok && [...loaded.value.values()].map(({ secret }) => reveal(secret))).toEqual([VALUE]);
  });
}

const failures: readonly (readonly [string, () => ValueSource, RegExp])[] = [
  [
    'a variable that is not set',
    () => ({ kind: 'env', name: 'ABSENT' }),
    /^secret T: the environment variable ABSENT is not set$/,
  ],
  ['a variable that is empty', () => ({ kind: 'env', name: 'EMPTY' }), /value is empty$/],
  ['a value with a line break', () => ({ kind: 'env', name: 'BROKEN' }), /control character/],
  ['no file', () => file('absent'), /absent cannot be read \(ENOENT\)$/],
  ['a folder', () => ({ kind: 'file', path: folder }), /cannot be read \(EISDIR\)$/],
  ['an empty file', () => file('empty'), /is empty$/],
  ['a file with two line breaks at its end', () => file('lines'), /control character/],
  ['a file that is no text', () => file('binary'), /not UTF-8$/],
  ['a file that is too long', () => file('large'), /64 KiB$/],
  [
    'a command that is not there',
    () => command(['sallyport-no-such-command']),
    /could not be run \(ENOENT\)$/,
  ],
  [
    'a command that fails',
    () => command(`echo '${VALUE}'; echo '${VALUE}' >&2; exit 3`),
    /ended with exit code 3$/,
  ],
  ['a command that does not end', () => command(`echo '${VALUE}'; sleep 60`), /gave no value within 300 ms$/],
  ['a command that prints without end', () => command('yes'), /64 KiB$/],
];

for (const [name, source, want] of failures) {
  test(`${name} is a problem that names the secret and never the value`, async () => {
    const env = { EMPTY: '', BROKEN: `${VALUE}\r\nX: 1` };
    const loaded = await loadSecrets([spec('T', source())], env, new Map(), { commandTimeoutMs: 300 });
    expect(loaded).toEqual({ ok: false, error: [{ secret: 'T', message: expect.stringMatching(want) }] });
    expect(JSON.stringify(loaded)).not.toContain('sk-live');
    expect(loaded.ok || secretsUnavailable(loaded.error)).toMatchObject({ code: 'SECRET_UNAVAILABLE' });
  });
}

test('a value comes from a credential of systemd', async () => {
  const source = { kind: 'systemd', name: 'line' } as const;
  const loaded = await loadSecrets([spec('T', source)], { CREDENTIALS_DIRECTORY: folder }, new Map());
  expect(loaded.ok && [...loaded.value.values()].map(({ secret }) => reveal(secret))).toEqual([VALUE]);
  const without = await loadSecrets([spec('T', source)], {}, new Map());
  expect(without.ok || without.error[0]?.message).toMatch(/CREDENTIALS_DIRECTORY is not set/);
});

test('a value comes from a descriptor, which is read once and asked twice', async () => {
  const fd = openSync(join(folder, 'line'), 'r');
  const options = { env: {}, literals: new Map(), clock: systemClock, ask: async () => err('is not asked') };
  const fetcher = new Fetcher(options);
  const one = spec('T', { kind: 'fd', fd });
  expect(await fetcher.fetch(one)).toMatchObject({ ok: true, value: { value: VALUE } });
  expect(await fetcher.fetch(one)).toMatchObject({ ok: true, value: { value: VALUE } });
});

test('a pipe of the gateway itself is none that was passed to it', async () => {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map(
      async fd => [Number(fd), await readlink(`/proc/self/fd/${fd}`).catch(() => '')] as const,
    ),
  );
  // Node wakes itself up through a pipe whose ends it holds both.
  const own = links.find(
    ([fd, link]) =>
      fd > 2 && link.startsWith('pipe:') && links.filter(([, other]) => other === link).length > 1,
  );
  if (own === undefined) throw new Error('this Node has no pipe of its own');
  const loaded = await loadSecrets([spec('T', { kind: 'fd', fd: own[0] })], {}, new Map());
  expect(loaded.ok || loaded.error[0]?.message).toBe(`secret T: descriptor ${own[0]} was not passed to us`);
});

test('a descriptor that is not open is a problem', async () => {
  const loaded = await loadSecrets([spec('T', { kind: 'fd', fd: 1_000 })], {}, new Map());
  expect(loaded.ok || loaded.error[0]?.message).toBe('secret T: descriptor 1000 is not open');
});

test('a value comes from the keyring, through secret-tool', async () => {
  const tool = join(folder, 'secret-tool');
  await writeFile(tool, `#!/bin/sh\n[ "$*" = "lookup service github user me" ] && echo '${VALUE}'\n`);
  await chmod(tool, 0o755);
  const attributes = [
    ['service', 'github'],
    ['user', 'me'],
  ] as const;
  const loaded = await loadSecrets([spec('T', { kind: 'keyring', attributes })], { PATH: folder }, new Map());
  expect(loaded.ok && [...loaded.value.values()].map(({ secret }) => reveal(secret))).toEqual([VALUE]);
});

test('all problems are told at once', async () => {
  const specs = [spec('A', { kind: 'env', name: 'X' }), spec('B', file('absent')), spec('C', file('plain'))];
  const loaded = await loadSecrets(specs, {}, new Map());
  expect(loaded.ok || loaded.error.map(({ secret }) => secret)).toEqual(['A', 'B']);
});

const HMAC: SigningSpec = {
  kind: 'hmac',
  header: 'x-sig',
  prefix: '',
  algorithm: 'sha256',
  encoding: 'hex',
  over: [],
  separator: '',
};
const wrong: readonly (readonly [Partial<SecretSpec>, RegExp])[] = [
  [{ name: 'not-a-name' }, /name of an environment variable/],
  [{ placeholder: 'ghp_mine' }, /GWPH_ and 32/],
  [{ in: [] }, /could never be used/],
  [{ in: ['header', 'head', 'header:host'] }, /'head' is not a place/],
  [{ maxOccurrences: 0 }, /positive whole number/],
  [{ maxOccurrences: 1.5 }, /positive whole number/],
  [{ in: ['body'], requirePlaceholder: true }, /needs a place in the head/],
  [{ in: ['header'], sign: HMAC }, /stands in no request/],
  [{ sign: { kind: 'aws_sigv4', accessKeyId: 'NONE', service: 's3', region: 'r' } }, /NONE is no secret/],
  [{ sign: { kind: 'aws_sigv4', accessKeyId: 'T', service: 's3', region: 'r' } }, /T signs itself/],
];

for (const [more, want] of wrong) {
  test(`a spec with ${JSON.stringify(more)} is refused before its value is fetched`, async () => {
    const loaded = await loadSecrets([spec('T', command('exit 1'), more)], {}, new Map());
    expect(loaded.ok || loaded.error[0]?.message).toMatch(want);
    expect(loaded.ok || loaded.error.some(({ message }) => message.includes('exit code'))).toBe(false);
  });
}
