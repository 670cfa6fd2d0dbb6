/** Where a run keeps its files, and what it makes there: certificates, contents (shell: files, openssl). */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makePattern, PERIOD } from './load/pattern.js';

/** What is moved, uncounted, before a transfer is measured; no more than the transfer itself. */
export const WARM_BYTES = 1 << 27;

export interface Workshop {
  readonly dir: string;
  readonly www: string;
  /** Signs the upstream's certificate. */
  readonly upstreamCa: string;
  readonly cert: string;
  readonly key: string;
  /** Signs what the peers mint; squid wants key and certificate in one file. */
  readonly peerCa: string;
  readonly peerKey: string;
  readonly peerBoth: string;
  /** A leaf for every name of the bench, signed by the peers' authority. */
  readonly floorCert: string;
  readonly floorKey: string;
}

export function openWorkshop(dir: string, bigBytes: number): Workshop {
  const file = (name: string): string => join(dir, name);
  const shop: Workshop = {
    dir,
    www: file('www'),
    upstreamCa: file('upstream-ca.pem'),
    cert: file('upstream.pem'),
    key: file('upstream.key'),
    peerCa: file('peer-ca.pem'),
    peerKey: file('peer-ca.key'),
    peerBoth: file('peer-ca-both.pem'),
    floorCert: file('floor.pem'),
    floorKey: file('floor.key'),
  };
  mkdirSync(shop.www, { recursive: true });
  if (!existsSync(shop.floorCert)) makeCertificates(shop);
  makeContents(shop, bigBytes);
  return shop;
}

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const NAMES = 'subjectAltName=DNS:bench.test,DNS:*.bench.test,IP:127.0.0.1';

function makeCertificates(shop: Workshop): void {
  const { dir, upstreamCa, cert, key, peerCa, peerKey, peerBoth, floorCert, floorKey } = shop;
  const openssl = (...args: readonly string[]): Buffer => execFileSync('openssl', args, { stdio: 'pipe' });
  const caKey = join(dir, 'upstream-ca.key');
  const authority = (name: string, keyFile: string, out: string): Buffer =>
    openssl('req', '-x509', ...P256, '-days', '30', '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', out,
      '-addext', 'keyUsage=critical,keyCertSign,cRLSign'); // biome-ignore format: one command
  const leaf = (ca: string, caKeyFile: string, keyFile: string, out: string): void => {
    const request = `${out}.csr`;
    openssl('req', ...P256, '-subj', '/CN=bench.test', '-addext', NAMES, '-keyout', keyFile, '-out', request);
    openssl('x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKeyFile, '-CAcreateserial', '-days', '30',
      '-copy_extensions', 'copy', '-out', out); // biome-ignore format: one command
  };
  authority('bench upstream CA', caKey, upstreamCa);
  authority('bench peer CA', peerKey, peerCa);
  leaf(upstreamCa, caKey, key, cert);
  writeFileSync(peerBoth, execFileSync('cat', [peerKey, peerCa]), { mode: 0o600 });
  leaf(peerCa, peerKey, floorKey, floorCert);
}

function makeContents({ www }: Workshop, bigBytes: number): void {
  const pattern = makePattern();
  writeFileSync(join(www, '1k'), pattern.subarray(0, 1024));
  writeFileSync(join(www, '1m'), pattern);
  makeContent(join(www, 'warm'), Math.min(bigBytes, WARM_BYTES), pattern);
  makeContent(join(www, 'big'), bigBytes, pattern);
}

function makeContent(path: string, bytes: number, pattern: Buffer): void {
  if (existsSync(path) && statSync(path).size === bytes) return;
  const descriptor = openSync(path, 'w');
  for (let at = 0; at < bytes; at += PERIOD) writeSync(descriptor, pattern);
  closeSync(descriptor);
}
