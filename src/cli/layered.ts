/** The policy that `--policy` and the policy flags name together, as `explain` and `events replay` ask it. */
import { err, ok, type Result } from '../core/result.js';
import { compile } from '../policy/compile.js';
import { flagsLayer, type PolicyFlags } from '../policy/flags.js';
import { readPolicy } from '../policy/load.js';
import type { Policy, PolicyDocument } from '../policy/policy.js';
import { problemText } from '../policy/problem.js';

export interface Layered {
  readonly policy: Policy;
  readonly layers: readonly PolicyDocument[];
}

/** Files or profiles by their names, then the flags on top. The error lists every problem, one line each. */
export async function layered(
  names: readonly string[],
  flags: PolicyFlags,
): Promise<Result<Layered, readonly string[]>> {
  const problems: string[] = [];
  const layers: PolicyDocument[] = [];
  for (const nameOrFile of names) {
    const file = await readPolicy(nameOrFile);
    if (file.ok) layers.push(file.value);
    else problems.push(...file.error.map(problem => problemText(nameOrFile, problem)));
  }
  const layer = flagsLayer(flags);
  if (!layer.ok) problems.push(...layer.error.map(problem => problemText('', problem)));
  if (!layer.ok || problems.length > 0) return err(problems);
  layers.push(layer.value.document);
  const policy = compile(layers);
  return policy.ok
    ? ok({ policy: policy.value, layers })
    : err(policy.error.map(problem => problemText('', problem)));
}
