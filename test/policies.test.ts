import { compile } from '../src/policy/compile.js';
import { runExamples } from '../src/policy/examples.js';
import { loadPolicy, PROFILES } from '../src/policy/load.js';
import type { Policy } from '../src/policy/policy.js';

async function profile(name: string): Promise<Policy> {
  const policy = compile([await loadPolicy(name)]);
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  return policy.value;
}

test.each(PROFILES)('every example of the profile %s comes out as it says', async name => {
  const outcomes = runExamples(await profile(name));
  expect(outcomes.length).toBeGreaterThan(3);
  expect(
    outcomes.filter(outcome => !outcome.pass).map(({ example, seen }) => `${example.label}: ${seen}`),
  ).toEqual([]);
});

test.each(PROFILES)('the profile %s compiles without a warning and blocks what is private', async name => {
  const policy = await profile(name);
  expect(policy.warnings).toEqual([]);
  expect(policy).toMatchObject({ blockPrivateIps: true, allowMetadata: false });
});

test('an example that comes out otherwise fails', async () => {
  const policy = await profile('strict');
  const outcomes = runExamples({ ...policy, mode: 'allow_all' });
  expect(outcomes.map(outcome => outcome.pass)).toEqual([false, false, true, true]);
  expect(outcomes[0]?.seen).toBe('allow by mode');
});
