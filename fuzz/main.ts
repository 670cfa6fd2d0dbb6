/**
 * `npm run fuzz -- TARGET [--seconds N] [--seed S]`: mutates what the corpora hold and asks whether the target's
 * promise still holds. `--list` names the targets, `all` runs every one, `--input BASE64` repeats a finding.
 */
import { parseArgs } from 'node:util';
import { checkOnce, type RunReport, runTarget } from './engine/run.js';
import type { Target } from './engine/target.js';
import { TARGETS } from './targets/index.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string' },
    input: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

process.exitCode = await main(positionals[0] ?? null);

async function main(name: string | null): Promise<number> {
  if (values.list) {
    for (const target of TARGETS) console.log(`${target.name.padEnd(16)}${target.promise}`);
    return 0;
  }
  const targets = TARGETS.filter(target => name === 'all' || target.name === name);
  if (targets.length === 0) {
    console.error(
      `fuzz: ${name ?? 'no target'}: one of all, ${TARGETS.map(target => target.name).join(', ')}`,
    );
    return 2;
  }
  const seconds = Number(values.seconds);
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed);
  if (!(seconds > 0) || !Number.isInteger(seed)) {
    console.error('fuzz: --seconds is a number above 0, --seed an integer');
    return 2;
  }
  let failed = false;
  for (const target of targets) failed = !(await fuzz(target, seconds, seed)) || failed;
  return failed ? 1 : 0;
}

async function fuzz(target: Target, seconds: number, seed: number): Promise<boolean> {
  try {
    if (values.input !== undefined) {
      console.log(await checkOnce(target, Buffer.from(values.input, 'base64'), seed));
      return true;
    }
    const report = await runTarget(target, { milliseconds: seconds * 1000, seed });
    print(report, seed);
    return report.finding === null;
  } finally {
    await target.close?.();
  }
}

function print(
  { target, inputs, milliseconds, outcomes, slowestMs, finding }: RunReport,
  seed: number,
): void {
  const shares = [...outcomes]
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${outcome} ${((100 * count) / inputs).toFixed(1)} %`);
  const time = `${(milliseconds / 1000).toFixed(1)} s, slowest ${slowestMs.toFixed(1)} ms, seed ${seed}`;
  console.log(`${target}: ${inputs} inputs in ${time}: ${shares.join(', ')}`);
  if (finding === null) return;
  console.log(`${target}: BROKEN: ${finding.message}`);
  console.log(`${target}: ${finding.input.length} bytes, made small: ${finding.small.length} bytes`);
  console.log(`  text:   ${JSON.stringify(finding.small.toString('latin1'))}`);
  console.log(`  hex:    ${finding.small.toString('hex')}`);
  console.log(
    `  repeat: npm run fuzz -- ${target} --seed ${finding.seed} --input ${finding.small.toString('base64')}`,
  );
}
