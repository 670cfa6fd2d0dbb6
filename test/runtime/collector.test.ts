import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A process of its own: the engine's flags hold for all of it. What it gives to `end` is the number. */
function measured(program: string): number {
  const collector = join(__dirname, '../../dist/runtime/collector.js');
  const script = `
    import v8 from 'node:v8';
    import { boundPauses } from ${JSON.stringify(collector)};
    boundPauses();
    const young = () => v8.getHeapSpaceStatistics().find(space => space.space_name === 'new_space').space_size / 2 ** 20;
    const kept = [];
    const work = () => {
      for (let i = 0; i < 20_000; i++) kept[i % 1_000] = { at: i, text: [i] };
    };
    const end = value => { console.log(value); process.exit(); };
    ${program}`;
  return Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
}

test('the young generation grows where it is collected all the time', () => {
  const grown = measured(`
    setTimeout(() => end(young()), 20_000);
    const loop = () => { work(); if (young() > 8) end(young()); else setImmediate(loop); };
    loop();`);
  expect(grown).toBeGreaterThan(8);
  // By one step: what the engine would make of it is 32.
  expect(grown).toBeLessThanOrEqual(24);
});

test('it stays small where little is done', () => {
  const small = measured('setInterval(work, 20); setTimeout(() => end(young()), 3_000);');
  expect(small).toBeLessThanOrEqual(4);
});

test('the allocator keeps as much as bulk goes through, once there is bulk', () => {
  // What is larger than the allocator's threshold stands outside of its heap, and is given back each time.
  const heapMib = (bulk: number): number =>
    measured(`
      import { readFileSync } from 'node:fs';
      const bulk = Array.from({ length: ${bulk} }, () => Buffer.allocUnsafeSlow(100_000));
      const loop = setInterval(work, 5);
      setTimeout(() => {
        const large = Buffer.allocUnsafeSlow(20 << 20);
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) .*\\[heap\\]$/m.exec(readFileSync('/proc/self/maps', 'latin1'));
        end((parseInt(to, 16) - parseInt(from, 16)) / 2 ** 20 + (large.length + bulk.length) * 0);
      }, 1_000);`);
  expect(heapMib(0)).toBeLessThan(20);
  // Ten of bulk and twenty of the large one.
  expect(heapMib(100)).toBeGreaterThan(28);
});
