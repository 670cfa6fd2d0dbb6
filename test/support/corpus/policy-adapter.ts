/** `ssrf-hosts.json` and `domain-match.json` against the pure functions, as adapters of the runner. */
import { type CorpusAdapter, type CorpusCase, failed, type Outcome, PASSED } from './case.js';
import {
  type CaseOutcome,
  type DomainCase,
  type RuleSet,
  runDomainCase,
  runRuleSet,
  runSsrfCase,
  type SsrfCase,
} from './policy-cases.js';

export const ssrfAdapter = pureAdapter(item => runSsrfCase(item as unknown as SsrfCase));

/** A case has a pattern; what has none is a rule set. */
export const domainAdapter = pureAdapter(item =>
  item.pattern === undefined
    ? runRuleSet(item as unknown as RuleSet)
    : runDomainCase(item as unknown as DomainCase),
);

function pureAdapter(run: (item: CorpusCase) => CaseOutcome): CorpusAdapter {
  const judge = (item: CorpusCase): Outcome => {
    const { pass, seen } = run(item);
    return pass ? PASSED : failed(item.expected, seen);
  };
  return { concurrency: 1, open: () => ({ run: judge, close: async () => undefined }) };
}
