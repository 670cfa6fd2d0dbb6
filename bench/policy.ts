/**
 * What one decision costs, by the number of rules: the median of rounds, in nanoseconds.
 *
 * Run: node .cache/tools/bench/policy.js (after `npx tsc -p tsconfig.tools.json`)
 */
import { parseAddress } from '../src/core/address.js';
import { parseUrl } from '../src/core/authority.js';
import { compile } from '../src/policy/compile.js';
import { decide } from '../src/policy/decide.js';
import { documentFrom } from '../src/policy/document.js';
import type { Policy } from '../src/policy/policy.js';
import type { Question } from '../src/policy/question.js';

const ROUNDS = 9;
const CALLS = 200_000;

function policyWith(rules: number): Policy {
  const hosts = Array.from({ length: rules }, (_, i) =>
    i % 3 === 0
      ? `*.team${i}.example.com`
      : { domain: `host${i}.example${i % 50}.com`, ...(i % 7 === 0 && { paths: ['/v1/**'] }) },
  );
  const document = documentFrom(
    {
      allow_domain: [...hosts, 'api.target.test', ...Array.from({ length: 10 }, (_, i) => `s${i}.test`)],
      deny_domain: Array.from({ length: rules / 10 }, (_, i) => `*.bad${i}.test`),
      allow_cidr: Array.from({ length: rules / 10 }, (_, i) => `10.${i >> 8}.${i & 255}.0/${24 + (i % 2)}`),
      secrets: Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`S${i}`, { hosts: [`s${i}.test`] }])),
    },
    'bench',
  );
  const policy = document.ok ? compile([document.value]) : document;
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  return policy.value;
}

function sure<T>(result: { ok: true; value: T } | { ok: false; error: unknown }): T {
  if (!result.ok) throw new Error(String(result.error));
  return result.value;
}

function questions(): ReadonlyMap<string, Question> {
  const { authority, path } = sure(parseUrl('https://api.target.test/v1/things?x=1'));
  const deep = sure(parseUrl('https://a.b.team3.example.com/')).authority;
  const denied = sure(parseUrl('https://evil.example/')).authority;
  const endpoint = { address: sure(parseAddress('93.184.215.14')), port: 443 };
  return new Map<string, Question>([
    ['request, exact', { ask: 'request', authority, method: 'GET', path }],
    ['request, wildcard', { ask: 'request', authority: deep, method: 'GET', path: '/' }],
    ['request, refused', { ask: 'request', authority: denied, method: 'GET', path: '/' }],
    ['dial', { ask: 'dial', host: authority.host, endpoint }],
    [
      'open, address',
      { ask: 'open', host: null, target: { ...endpoint, address: sure(parseAddress('10.0.3.7')) } },
    ],
  ]);
}

/** Nanoseconds a call, the median of the rounds. */
function cost(policy: Policy, question: Question): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    for (let i = 0; i < CALLS; i++) decide(policy, question);
    return ((performance.now() - start) * 1e6) / CALLS;
  });
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
}

for (const rules of [10, 100, 10_000]) {
  const policy = policyWith(rules);
  for (const [name, question] of questions()) {
    console.log(
      `${String(rules).padStart(6)} rules  ${name.padEnd(18)} ${cost(policy, question).toFixed(0).padStart(6)} ns`,
    );
  }
}
