/**
 * A bus with a spool on a disk that fills up and gets room again; prints what was seen as JSON.
 * `node full-disk.mjs COMPILED DISK STATE WHEN-FULL`
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [, , compiled, disk, keyDir, whenFull] = process.argv;
const load = path => import(pathToFileURL(join(compiled, path)).href);
const { openSpool } = await load('events/spool/spool.js');
const { verifySpool } = await load('events/spool/verify.js');
const { readSpool } = await load('events/spool/read.js');
const { createBus } = await load('events/bus.js');
const { systemClock: clock } = await load('core/clock.js');

const filler = join(disk, 'filler');
writeFileSync(filler, Buffer.alloc(1_500_000));
const dir = join(disk, 'spool');
const troubles = [];
const onTrouble = error => troubles.push(error.message);
const store = await openSpool({ dir, keyDir, clock, whenFull, onTrouble });
const bus = createBus({ clock, gatewayId: 'aa', store });
const emit = () => {
  const gateway = { message: 'm'.repeat(1_000), detail: [] };
  bus.emit({ type: 'policy.loaded', sandbox: null, gateway });
};

let emitted = 0;
while (!store.failing) {
  for (let i = 0; i < 100; i++, emitted++) emit();
  await delay(5);
}
// What happens meanwhile waits, and is not lost.
for (let i = 0; i < 50; i++, emitted++) emit();
await delay(300);
const whileFull = { blocked: bus.blocked, dropped: bus.counts.dropped };
rmSync(filler);
while (store.failing) await delay(20);
await bus.close();

let last = 0;
let gapless = true;
for await (const batch of readSpool(dir)) {
  for (const { seq } of batch) {
    gapless &&= seq === last + 1;
    last = seq;
  }
}
const { faults, closed } = await verifySpool(dir, { keyDir });
const found = { whileFull, gapless, all: last === emitted, faults, closed, troubles };
process.stdout.write(JSON.stringify(found));
