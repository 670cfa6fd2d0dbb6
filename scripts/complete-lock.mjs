// Completes package-lock.json after `npm install` against a registry that lacks packages of other platforms: npm leaves
// those optional packages out of the lock, and then `npm ci` refuses it. Each gets an entry with its version and the
// platform that it is for, so that npm knows it and passes it over where it does not fit. What is there is not touched.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
const SYSTEMS = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'aix',
  'win32',
];
const PROCESSORS = ['arm64', 'x64', 'arm', 'ia32', 'ppc64', 's390x', 'loong64', 'riscv64', 'mips64el'];

function platformOf(name) {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find(system => words.includes(system));
  const cpu = PROCESSORS.find(processor => words.includes(processor));
  if (os === undefined || cpu === undefined) throw new Error(`complete-lock: for which platform is ${name}?`);
  const musl = words.some(word => word.startsWith('musl'));
  return { os: [os], cpu: [cpu], ...(os === 'linux' && { libc: [musl ? 'musl' : 'glibc'] }) };
}

let added = 0;
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || !/^\d+\.\d+\.\d+/.test(version)) continue;
    lock.packages[key] = { version, ...platformOf(name), ...(parent.dev && { dev: true }), optional: true };
    added += 1;
  }
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
console.log(`complete-lock: ${added} packages of other platforms`);
