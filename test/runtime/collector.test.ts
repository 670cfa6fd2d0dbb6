import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A process of its own: the engine's flags hold for all of it. Prints the MiB of its young generation. */
function youngAfter(program: string): number {
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
    const end = () => { console.log(young()); process.exit(); };
    ${program}`;
  return Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
}

test('the young generation grows where it is collected all the time', () => {
  const grown = youngAfter(`
    setTimeout(end, 20_000);
    const loop = () => { work(); if (young() > 8) end(); else setImmediate(loop); };
    loop();`);
  expect(grown).toBeGreaterThan(8);
  // By one step: what the engine would make of it is 32.
  expect(grown).toBeLessThanOrEqual(24);
});

test('it stays small where little is done', () => {
  const small = youngAfter('setInterval(work, 20); setTimeout(end, 3_000);');
  expect(small).toBeLessThanOrEqual(4);
});
