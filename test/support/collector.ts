/** What the engine does in a process whose pauses are bounded. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A process of its own: the engine's flags hold for all of it. What it gives to `end` is the number. */
export function measured(program: string): number {
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
