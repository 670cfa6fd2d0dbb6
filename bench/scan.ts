/**
 * What it costs to look for leaks in content that holds none, by the number of secrets and the kind of content: processor
 * time, in nanoseconds a byte, the best of some rounds.
 *
 * Run: npx tsc -p tsconfig.tools.json && node .cache/tools/bench/scan.js
 */
import { randomBytes } from 'node:crypto';
import { BodyScanner, NO_SCOPE } from '../src/secrets/scan.js';
import { type Subject, Watch } from '../src/secrets/watch.js';

const SECRETS = [1, 10, 100, 1_000];
const CHUNK = 65_536;
const CHUNKS = 64;
const ROUNDS = 15;

const LINE = 'The quick brown fox jumps over the lazy dog. {"key": "value", "n": 12345}\n';
const CONTENTS: readonly (readonly [name: string, chunk: Buffer])[] = [
  ['zeros', Buffer.alloc(CHUNK)],
  ['noise', randomBytes(CHUNK)],
  ['prose and JSON', Buffer.from(LINE.repeat(CHUNK / LINE.length + 1)).subarray(0, CHUNK)],
  ['base64', Buffer.from(randomBytes(CHUNK).toString('base64')).subarray(0, CHUNK)],
  ['percent-encoded', Buffer.from('%41%2f'.repeat(CHUNK / 6 + 1)).subarray(0, CHUNK)],
];

/** Placeholders and values of so many secrets. */
function watchOf(secrets: number): Watch {
  const subjects = Array.from({ length: secrets }, (_, i): Subject[] => [
    { secret: `S${i}`, kind: 'placeholder', text: `GWPH_${randomBytes(16).toString('hex')}` },
    { secret: `S${i}`, kind: 'value', text: `sk-${randomBytes(18).toString('base64url')}` },
  ]);
  return new Watch(subjects.flat());
}

function nanosecondsPerByte(watch: Watch, chunk: Buffer): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const scanner = new BodyScanner(watch, NO_SCOPE, 'body');
    const before = process.cpuUsage();
    for (let i = 0; i < CHUNKS; i++) {
      if (scanner.push(chunk).leak !== null) throw new Error('the content holds a secret by chance');
    }
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1_000) / (CHUNKS * CHUNK));
  }
  return best;
}

console.log(`| ns a byte | ${SECRETS.map(count => `${count.toLocaleString('en')} secrets`).join(' | ')} |`);
console.log(`|---|${SECRETS.map(() => '---:').join('|')}|`);
const watches = SECRETS.map(watchOf);
for (const [name, chunk] of CONTENTS) {
  const cells = watches.map(watch => nanosecondsPerByte(watch, chunk).toFixed(2));
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
