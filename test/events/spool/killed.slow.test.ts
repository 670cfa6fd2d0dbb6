/** The gateway's end in the middle of a write, two hundred times: nothing that was acknowledged may be missing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import fc from 'fast-check';
import { readSpool } from '../../../src/events/spool/read.js';
import { type Compiled, compileSources } from '../../support/compiled.js';
import { Place } from './support.js';

const KILLS = 200;
const WRITER = join(__dirname, '..', '..', 'support', 'spool-writer.mjs');

let compiled: Compiled;
const places: Place[] = [];

beforeAll(() => {
  compiled = compileSources(['core', 'policy', 'events', 'events/spool']);
});

afterAll(async () => {
  compiled.remove();
  for (const place of places) await place.remove();
});

/** Lets a writer run until it has acknowledged something and `afterMs` more; gives back the last that it acknowledged. */
async function killedWriter(place: Place, gateway: string, fsync: string, afterMs: number): Promise<string> {
  const args = [WRITER, compiled.dir, place.dir, place.keyDir, fsync, gateway];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    if (said === '') setTimeout(() => child.kill('SIGKILL'), afterMs);
    said += text.toString();
  });
  const [code, signal] = await once(child, 'close');
  expect([code, signal]).toEqual([null, 'SIGKILL']);
  return said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1) ?? '';
}

/** `delays.length` kills of writers of one spool, one after the other; what must hold afterwards. */
async function survive(delays: readonly number[]): Promise<void> {
  const place = await Place.make();
  places.push(place);
  const acknowledged: string[] = [];
  for (const [at, afterMs] of delays.entries()) {
    acknowledged.push(await killedWriter(place, `run${at}`, at % 2 === 0 ? 'always' : 'none', afterMs));
  }
  const last = new Map<string, number>();
  let records = 0;
  for await (const batch of readSpool(place.dir)) {
    for (const { gateway_id, seq } of batch) {
      // Gapless: the last one there is says that all before it are.
      expect(seq).toBe((last.get(gateway_id) ?? 0) + 1);
      last.set(gateway_id, seq);
    }
    records += batch.length;
  }
  const missing = acknowledged.filter(id => {
    const [gateway = '', seq] = id.split('-');
    return (last.get(gateway) ?? 0) < Number(seq);
  });
  expect([acknowledged.length, missing]).toEqual([delays.length, []]);
  expect(records).toBeGreaterThan(delays.length * 100);
  expect(await place.verify()).toMatchObject({ faults: [], records });
}

test(`${KILLS} kills under load lose nothing that was acknowledged, and leave chains that verify`, async () => {
  const delays = fc.sample(fc.nat(30), { seed: 20_261_127, numRuns: KILLS });
  await Promise.all([survive(delays.slice(0, KILLS / 2)), survive(delays.slice(KILLS / 2))]);
});
