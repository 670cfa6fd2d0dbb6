import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../../src/core/errors.js';
import { loadPolicy, PROFILES, packageRoot, readPolicy } from '../../src/policy/load.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-load-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(content: string | Uint8Array, mode = 0o644): string {
  const path = join(folder, 'policy.yaml');
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

async function problemOf(path: string): Promise<string> {
  const read = await readPolicy(path);
  return read.ok ? 'none' : read.error.map(problem => problem.message).join('\n');
}

test('loadPolicy reads a file, and a link to one', async () => {
  const path = file('mode: allow_all');
  symlinkSync(path, join(folder, 'link.yaml'));
  expect(await loadPolicy(join(folder, 'link.yaml'))).toMatchObject({
    mode: 'allow_all',
    source: join(folder, 'link.yaml'),
  });
});

test.each(PROFILES)('loadPolicy finds the profile %s', async profile => {
  expect(await loadPolicy(profile)).toMatchObject({ source: profile });
});

test('loadPolicy throws CONFIG_INVALID with every problem and its line', async () => {
  const path = file('mode: x\nallow_domain:\n  - "*a.test"');
  const error: unknown = await loadPolicy(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
  expect(String(error)).toContain(`${path}:1: mode: expected`);
  expect(String(error)).toContain(`${path}:3: allow_domain[0]: '*a.test' is not a host pattern`);
});

test('a file that everybody may write is refused', async () => {
  expect(await problemOf(file('mode: allow_all', 0o666))).toContain('can be written by everybody');
});

test('a folder, a device and a named pipe are refused at once', async () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  mkdirSync(join(folder, 'inner'));
  expect(await problemOf(join(folder, 'inner'))).toBe('is not a regular file');
  expect(await problemOf('/dev/zero')).toBe('is not a regular file');
  expect(await problemOf(join(folder, 'pipe'))).toBe('is not a regular file');
});

test('a file that is too large, absent or not UTF-8 is refused', async () => {
  expect(await problemOf(file('#'.repeat(1024 * 1024 + 1)))).toContain('is larger than');
  expect(await problemOf(file(Uint8Array.of(0x61, 0xff)))).toBe('is not UTF-8');
  expect(await problemOf(join(folder, 'absent'))).toContain(
    'does not exist; the built-in profiles are strict',
  );
});

test('the package root is the folder of package.json', () => {
  expect(existsSync(join(packageRoot(), 'policies', 'strict.yaml'))).toBe(true);
});
