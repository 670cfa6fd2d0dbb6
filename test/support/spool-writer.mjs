/**
 * Writes events to a spool as fast as it can, and says on standard output how far they were acknowledged, until it is
 * killed. `node spool-writer.mjs COMPILED SPOOL STATE FSYNC GATEWAY`
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , compiled, dir, keyDir, fsync, gateway] = process.argv;
const load = path => import(pathToFileURL(join(compiled, path)).href);
const { openSpool } = await load('events/spool/spool.js');
const { systemClock } = await load('core/clock.js');

const network = {
  layer: 'http',
  decision: 'allow',
  flow: 'f1',
  request: 'r1',
  method: 'GET',
  url: `https://allowed.test/${'p'.repeat(200)}`,
  host: 'allowed.test',
  port: 443,
  status_code: 200,
  request_bytes: 120,
  response_bytes: 2048,
  duration_ms: 12,
  blocked: false,
  reason: null,
  rule: 'allow_domain[0]',
  destination: '93.184.216.34:443',
  protocol: 'http/1.1',
  secrets: [],
  generation: 1,
};

let told = '';
const spool = await openSpool({
  dir,
  keyDir,
  clock: systemClock,
  fsync,
  segmentBytes: 1_000_000,
  onAcknowledged: (_n, id) => {
    if (id === told) return;
    told = id;
    writeSync(1, `${id}\n`);
  },
});

let seq = 0;
for (;;) {
  const batch = Array.from({ length: 1 + (seq % 97) }, () => {
    seq += 1;
    const head = { version: 1, id: `${gateway}-${seq}`, type: 'request.done', timestamp: Date.now(), seq };
    return { ...head, gateway_id: gateway, sandbox: 'sb1', network };
  });
  await spool.write(batch);
}
