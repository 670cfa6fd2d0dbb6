import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Host, parseHost } from '../../../src/core/host.js';
import { newKey, randomSerial } from '../../../src/proxy/tls/ca-store.js';
import { certificatePem, issuerOf, mintCa, mintLeaf, subjectOf } from '../../../src/proxy/tls/mint.js';

const HOUR_MS = 3_600_000;
const NOW = Date.now();
const issuer = issuerOf(newKey());
const validity = { notBefore: NOW - HOUR_MS, notAfter: NOW + 24 * HOUR_MS };
const ca = mintCa(issuer, randomSerial(), { ...validity, notAfter: NOW + 1000 * HOUR_MS });
const leafKey = subjectOf(newKey());

const host = (text: string): Host => {
  const parsed = parseHost(text);
  if (!parsed.ok) throw new Error(`not a host: ${text}`);
  return parsed.value;
};
const leaf = (text: string): Buffer => mintLeaf(issuer, host(text), leafKey, randomSerial(), validity);

const LONG_NAME = `${'a'.repeat(63)}.${'b'.repeat(63)}.test`;
const HOSTS = ['allowed.test', '_dmarc.allowed.test', LONG_NAME, '192.0.2.7', '[2001:db8::7]'];

test.each(HOSTS)('openssl verifies the leaf of %s under x509_strict', text => {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-mint-'));
  try {
    writeFileSync(join(dir, 'ca.pem'), certificatePem(ca));
    writeFileSync(join(dir, 'leaf.pem'), certificatePem(leaf(text)));
    const bare = text.replaceAll(/[[\]]/g, '');
    const name = /^[\d.]+$|:/.test(bare) ? ['-verify_ip', bare] : ['-verify_hostname', bare];
    const args = [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      ...name,
      '-CAfile',
      'ca.pem',
      'leaf.pem',
    ];
    expect(execFileSync('openssl', args, { cwd: dir, encoding: 'utf8' })).toBe('leaf.pem: OK\n');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('mintLeaf names one host, for servers only, under one CA', () => {
  const certificate = new X509Certificate(leaf('allowed.test'));
  const authority = new X509Certificate(ca);
  expect(certificate.verify(authority.publicKey)).toBe(true);
  expect(certificate.checkIssued(authority)).toBe(true);
  expect(certificate.subjectAltName).toBe('DNS:allowed.test');
  expect(certificate.subject).toBe('CN=allowed.test');
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(Date.parse(certificate.validTo)).toBe(Math.floor(validity.notAfter / 1000) * 1000);
  expect(new X509Certificate(leaf('192.0.2.7')).subjectAltName).toBe('IP Address:192.0.2.7');
  expect(new X509Certificate(leaf(LONG_NAME)).subject ?? '').toBe('');
});

test('mintCa makes a CA for leaves only, that differs in name from every other', () => {
  const authority = new X509Certificate(ca);
  const other = new X509Certificate(mintCa(issuerOf(newKey()), randomSerial(), validity));
  expect(authority.ca).toBe(true);
  expect(authority.verify(authority.publicKey)).toBe(true);
  expect(authority.subject).not.toBe(other.subject);
  const text = execFileSync('openssl', ['x509', '-inform', 'DER', '-noout', '-text'], {
    input: ca,
    encoding: 'utf8',
  });
  expect(text).toContain('CA:TRUE, pathlen:0');
  expect(text).toMatch(/Key Usage: critical\s+Certificate Sign\n/);
});

test('a certificate keeps a time beyond 2049', () => {
  const notAfter = Date.UTC(2055, 0, 2, 3, 4, 5);
  const certificate = new X509Certificate(mintCa(issuer, randomSerial(), { ...validity, notAfter }));
  expect(Date.parse(certificate.validTo)).toBe(notAfter);
});

test('randomSerial is positive, 16 bytes long and never the same', () => {
  const serials = Array.from({ length: 100 }, () => new X509Certificate(leaf('allowed.test')).serialNumber);
  expect(new Set(serials).size).toBe(100);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
});
