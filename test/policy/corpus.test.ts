import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DomainCase,
  type RuleSet,
  runDomainCase,
  runRuleSet,
  runSsrfCase,
  type SsrfCase,
} from '../support/corpus/policy-cases.js';

interface Corpus<T> {
  readonly cases: readonly T[];
  readonly ruleSets?: readonly RuleSet[];
}

function corpus<T>(file: string): Corpus<T> {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../corpus', file), 'utf8')) as Corpus<T>;
}

/** Listed in docs/reference/choices.md. */
const CHOSEN_OTHERWISE = new Map([['dom-0210', 'invalid-host']]);

const ssrf = corpus<SsrfCase>('ssrf-hosts.json');
test.each(ssrf.cases)('ssrf-hosts $id: $kind $input is $expected', item => {
  expect({ ...runSsrfCase(item), input: item.input }).toMatchObject({ pass: true });
});

const domain = corpus<DomainCase>('domain-match.json');
test.each(domain.cases)('domain-match $id: $pattern against $host is $expected', item => {
  const outcome = runDomainCase(item);
  const choice = CHOSEN_OTHERWISE.get(item.id);
  expect(choice === undefined ? outcome : { ...outcome, pass: outcome.seen === choice }).toMatchObject({
    pass: true,
  });
});

test.each(domain.ruleSets ?? [])('domain-match $id: $host is $expected', set => {
  expect(runRuleSet(set)).toMatchObject({ pass: true });
});
