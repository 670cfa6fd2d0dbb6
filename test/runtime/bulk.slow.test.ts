import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Workplace } from '../support/cli.js';
import { peakOf } from '../support/peak.js';

/** A GiB takes minutes where the machine is busy and the guest emulated; `bench/vm.ts --mib 1024` measures it. */
const MIB = 256;
/** Of which one process may hold this much beyond what Node takes: far less than the file. */
const MOST_MIB = 96;

const work = new Workplace();
const vm = (...args: readonly string[]) => work.sallyport(['vm', ...args]);

afterAll(async () => {
  await vm('rm', '--force', 'box');
  work.remove();
});

function* noise(): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  const zeros = Buffer.alloc(1 << 20);
  for (let block = 0; block < MIB; block += 1) yield cipher.update(zeros);
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Runs `sallyport vm cp`, and gives the most that it held. */
async function copy(from: string, to: string): Promise<number> {
  const child = work.start(['vm', 'cp', from, to]);
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid ?? 0));
  }, 20);
  const [code, said] = await Promise.all([
    new Promise(resolve => child.once('close', resolve)),
    child.stderr.toArray(),
  ]);
  clearInterval(timer);
  expect({ code, said: said.join('') }).toEqual({ code: 0, said: '' });
  return peak;
}

test(`${MIB} MiB go into a machine and out of it, and nobody on the way holds them`, async () => {
  const source = join(work.dir, 'source');
  await pipeline(noise, createWriteStream(source));
  const digest = await digestOf(source);
  const created = await vm('create', 'box', '--backend', 'qemu', '--network', 'disabled', '--memory', '256');
  const id = created.stdout.trim();
  expect(await vm('start', 'box')).toMatchObject({ code: 0, stderr: '' });
  const record = JSON.parse(readFileSync(join(work.dir, 'state/sandboxes', id, 'sandbox.json'), 'utf8'));
  const supervisor = record.supervisor_pid as number;
  const before = peakOf(supervisor);
  expect(before).toBeGreaterThan(0);
  const idle = await copy('box:/etc/passwd', join(work.dir, 'small'));

  expect(await copy(source, 'box:/workspace/bulk')).toBeLessThan(idle + MOST_MIB);
  expect((await vm('exec', 'box', '--', 'sha256sum', '/workspace/bulk')).stdout).toContain(digest);

  expect(await copy('box:/workspace/bulk', join(work.dir, 'back'))).toBeLessThan(idle + MOST_MIB);
  expect(await digestOf(join(work.dir, 'back'))).toBe(digest);

  expect(peakOf(supervisor)).toBeLessThan(before + MOST_MIB);
}, 600_000);
