import { runTarget } from '../../fuzz/engine/run.js';
import { TARGETS } from '../../fuzz/targets/index.js';

/** Long enough for every seed and some ten thousand mutants of most targets. */
const MILLISECONDS = 6_000;

test.each(TARGETS.map(target => [target.name, target] as const))(
  '%s keeps its promise for the corpus and its mutants',
  async (_name, target) => {
    const { finding, inputs, outcomes } = await runTarget(target, {
      milliseconds: MILLISECONDS,
      seed: 20_261,
    });
    await target.close?.();
    const small = finding?.small.toString('base64');
    expect(
      finding === null ? null : `${finding.message}\n--seed ${finding.seed} --input ${small}`,
    ).toBeNull();
    expect(inputs).toBeGreaterThan(target.seeds().length);
    // A promise about what is refused alone would be an empty one.
    expect([...outcomes.keys()].filter(outcome => outcome !== 'refused')).not.toEqual([]);
  },
);
