/** The examples beside a policy, run: each is a question whose verdict the operator wrote down. Pure. */
import { type IpAddress, parseAddress } from '../core/address.js';
import type { Example, Policy } from './policy.js';
import { enforced } from './shadow.js';
import { type Step, walk } from './walk.js';

export interface ExampleOutcome {
  readonly example: Example;
  readonly pass: boolean;
  readonly steps: readonly Step[];
  /** What came out instead, as `allow by allow_domain[0]` or `deny: no-rule`. */
  readonly seen: string;
}

/**
 * A name whose example does not say what it resolves to is taken to have a public address. With `mode: shadow` they
 * are about what the rules say, as they will be enforced.
 */
export function runExamples(policy: Policy): readonly ExampleOutcome[] {
  const ruled = enforced(policy);
  return policy.examples.map(example => runExample(ruled, example));
}

function runExample(policy: Policy, example: Example): ExampleOutcome {
  const { subject } = example;
  const addresses = subject.resolvesTo.length > 0 ? subject.resolvesTo : PUBLIC;
  const request = subject.kind === 'url' ? subject : { ...subject, method: 'GET', path: '/' };
  const steps = walk(policy, { ...request, addresses });
  const verdict = steps.find(step => !step.verdict.allow)?.verdict ?? ruling(steps);
  if (verdict === undefined) return { example, pass: false, steps, seen: 'nothing was asked' };
  const rightRule = example.rule === null || example.rule === verdict.rule;
  const rightReason = example.reason === null || (!verdict.allow && verdict.reason === example.reason);
  const pass = (example.expect === 'allow') === verdict.allow && rightRule && rightReason;
  return {
    example,
    pass,
    steps,
    seen: verdict.allow ? `allow by ${verdict.rule}` : `deny: ${verdict.reason}`,
  };
}

/** The verdict that an allowed journey is told by: the request's, or that of opening the flow. */
export function ruling(steps: readonly Step[]): Step['verdict'] | undefined {
  const told = ['request', 'tls', 'open'].map(ask => steps.find(step => step.question.ask === ask));
  return told.find(step => step !== undefined)?.verdict;
}

const PUBLIC: readonly IpAddress[] = publicAddress();

/** An ordinary public address; nothing dials it. */
function publicAddress(): readonly IpAddress[] {
  const parsed = parseAddress('1.1.1.1');
  return parsed.ok ? [parsed.value] : [];
}
