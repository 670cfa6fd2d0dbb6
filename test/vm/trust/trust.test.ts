import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { certificatesOf, emitJks } from '../../../src/vm/trust/jks.js';
import { APT_FILE, BUNDLE_FILE, CA_FILE, planTrust } from '../../../src/vm/trust/trust.js';

const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----\n`;

describe('planTrust', () => {
  const host = {
    bundles: new Map([
      ['/etc/bundle.crt', pem('root').trimEnd()],
      ['/etc/other.pem', ''],
    ]),
    javaStores: ['/etc/cacerts'],
  };
  const trust = planTrust(pem('ours'), host);
  const contentOf = (path: string): string =>
    Buffer.from(trust.files.find(file => file.path === path)?.content ?? []).toString('latin1');

  test('adds the authority to each bundle and takes nothing away', () => {
    expect(contentOf('/etc/bundle.crt')).toBe(pem('root') + pem('ours'));
    expect(contentOf('/etc/other.pem')).toBe(pem('ours'));
    expect(contentOf(BUNDLE_FILE)).toBe(pem('root') + pem('ours'));
    expect(contentOf(CA_FILE)).toBe(pem('ours'));
  });

  test('adds it once, however often the same root is started', () => {
    const again = planTrust(pem('ours'), {
      bundles: new Map([['/etc/b', pem('root') + pem('ours')]]),
      javaStores: [],
    });
    expect(Buffer.from(again.files.find(({ path }) => path === '/etc/b')?.content ?? []).toString()).toBe(
      pem('root') + pem('ours'),
    );
  });

  test('points every variable at a file that it lays down', () => {
    const paths = new Set(trust.files.map(({ path }) => path));
    expect(trust.env.get('SSL_CERT_FILE')).toBe(BUNDLE_FILE);
    expect(trust.env.get('NODE_EXTRA_CA_CERTS')).toBe(CA_FILE);
    for (const path of trust.env.values()) expect(paths.has(path)).toBe(true);
  });

  test('works on a host without any bundle', () => {
    const bare = planTrust(pem('ours'), { bundles: new Map(), javaStores: [] });
    expect(bare.files.map(({ path }) => path)).toEqual([CA_FILE, BUNDLE_FILE, APT_FILE]);
  });
});

describe('certificatesOf', () => {
  test('reads what PEM holds, in order', () => {
    const texts = certificatesOf(`# comment\n${pem('a')}garbage${pem('b')}`).map(der =>
      Buffer.from(der).toString(),
    );
    expect(texts).toEqual(['a', 'b']);
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string(), text => void certificatesOf(text)),
      { seed: 20_19 },
    );
  });
});

describe('emitJks', () => {
  test('writes a store whose keyed digest holds', () => {
    const store = Buffer.from(emitJks([Buffer.from('der')], 'pass'));
    const key = Buffer.from('\0p\0a\0s\0s', 'latin1');
    const digest = createHash('sha1')
      .update(key)
      .update('Mighty Aphrodite')
      .update(store.subarray(0, -20))
      .digest();
    expect(store.subarray(-20)).toEqual(digest);
    expect(store.subarray(0, 12).toString('hex')).toBe('feedfeed0000000200000001');
  });

  const keytool = '/usr/bin/keytool';
  test('is read by Java itself, where there is one', () => {
    if (!existsSync(keytool) || !existsSync('/usr/bin/openssl')) return;
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-jks-'));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'ca.pem')];
    const made = spawnSync('/usr/bin/openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=java', '-keyout', key, '-out', certificate],
    ]);
    expect(made.status).toBe(0);
    const text = spawnSync('/bin/cat', [certificate], { encoding: 'utf8' }).stdout;
    writeFileSync(join(folder, 'cacerts'), emitJks(certificatesOf(text)));
    const listed = spawnSync(
      keytool,
      ['-list', '-keystore', join(folder, 'cacerts'), '-storepass', 'changeit'],
      { encoding: 'utf8' },
    );
    rmSync(folder, { recursive: true });
    expect(listed.stdout).toContain('ca-0');
    expect(listed.stdout).toContain('trustedCertEntry');
  });
});
