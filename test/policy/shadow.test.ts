/** `mode: shadow`: rules refuse nothing, the floor refuses as ever, and nothing is passed without a note of it. */
import fc from 'fast-check';
import { decide } from '../../src/policy/decide.js';
import { runExamples } from '../../src/policy/examples.js';
import type { Policy } from '../../src/policy/policy.js';
import type { DenyReason, Question, Verdict } from '../../src/policy/question.js';
import { enforced } from '../../src/policy/shadow.js';
import { ask, endpoint, policyOf } from '../support/policy.js';

const RULES = `
allow_domain:
  - api.test.example
  - { domain: read.test.example, methods: [GET] }
  - { domain: paths.test.example, paths: ["/v1/**"] }
  - db.test.example:5432
  - { domain: intra.internal, methods: [GET] }
  - { domain: 10.1.2.3, methods: [GET] }
deny_domain:
  - bad.test.example
  - { domain: paths.test.example, methods: [DELETE] }
  - cellar.internal
allow_cidr: [10.20.0.0/16]
deny_cidr: [10.20.66.0/24, 93.184.216.0/24]
add_hosts: { api.test.example: "127.0.0.1:8443" }
tls: { passthrough: [pinned.test.example] }
secrets:
  KEY: { hosts: [api.test.example, paths.test.example] }
`;
const OWN = { gatewayEndpoints: [endpoint('192.0.2.1:3128'), endpoint('0.0.0.0:9090')] };
const shadow = policyOf(`mode: shadow\n${RULES}`, OWN);
const real = policyOf(`mode: block_all\n${RULES}`, OWN);

const FLOOR: ReadonlySet<DenyReason> = new Set<DenyReason>([
  'no-policy',
  'private-address',
  'metadata-address',
  'gateway-address',
  'not-inspectable',
]);

const HOSTS = [
  'api.test.example',
  'read.test.example',
  'paths.test.example',
  'db.test.example',
  'bad.test.example',
  'pinned.test.example',
  'nobody.example',
  'intra.internal',
  'cellar.internal',
  'printer.local',
  'localhost',
  'metadata.google.internal',
] as const;
const ADDRESSES = [
  '93.184.216.34',
  '1.1.1.1',
  '10.0.0.1',
  '10.1.2.3',
  '10.20.1.1',
  '10.20.66.1',
  '127.0.0.1',
  '169.254.169.254',
  '192.0.2.1',
  '198.51.100.7',
  '[2606:4700::1]',
  '[::1]',
  '[fd00:ec2::254]',
] as const;
const PORTS = [22, 80, 443, 3128, 5432, 8443, 9090] as const;

const host = fc.constantFrom(...HOSTS);
const target = fc
  .tuple(fc.constantFrom(...ADDRESSES), fc.constantFrom(...PORTS))
  .map(([address, port]) => `${address}:${port}`);
const url = fc
  .tuple(
    fc.constantFrom('http', 'https'),
    fc.oneof(host, fc.constantFrom(...ADDRESSES)),
    fc.constantFrom(...PORTS),
    fc.constantFrom('/', '/v1/x', '/v2/x', '/v1/../v2', '/v1//x?q=1'),
  )
  .map(([scheme, where, port, path]) => `${scheme}://${where}:${port}${path}`);
const questions: fc.Arbitrary<Question> = fc.oneof(
  host.map(ask.resolve),
  fc.tuple(host, fc.constantFrom(...PORTS)).map(([name, port]) => ask.open(name, port)),
  target.map(ask.openAddress),
  fc.tuple(host, fc.constantFrom(...PORTS)).map(([name, port]) => ask.tls(name, port)),
  fc
    .tuple(fc.constantFrom('GET', 'POST', 'DELETE', 'delete'), url)
    .map(([method, text]) => ask.request(method, text)),
  fc.tuple(host, target).map(([name, where]) => ask.dial(name, where)),
  target.map(where => ask.dialAddress(where.slice(0, where.lastIndexOf(':')).replace(/^\[|\]$/g, ''), where)),
);

const property = (check: (asked: Question, shadowed: Verdict, strict: Verdict) => void): void =>
  fc.assert(
    fc.property(questions, asked => check(asked, decide(shadow, asked), decide(real, asked))),
    { seed: 6_030, numRuns: 4_000 },
  );

test('what shadow passes is allowed by the rules, or says what they would have answered', () => {
  const seen = { passed: 0, floor: 0, allowed: 0 };
  property((asked, shadowed, strict) => {
    if (strict.allow) {
      seen.allowed += 1;
      return void expect(shadowed).toEqual(strict);
    }
    if (!shadowed.allow) {
      seen.floor += FLOOR.has(strict.reason) ? 1 : 0;
      // What a name resolves to is judged behind the rules for the name: there the next refusal shows.
      if (asked.ask === 'dial') return;
      return void expect(shadowed).toEqual(strict);
    }
    seen.passed += 1;
    const { rule, reason, hint } = strict;
    expect(shadowed).toMatchObject({ rule: 'mode', wouldDeny: { rule, reason, hint } });
  });
  // The property means nothing if one of the three never came up.
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(200);
});

test('what the floor refuses stays refused', () => {
  property((_asked, shadowed, strict) => {
    if (!strict.allow && FLOOR.has(strict.reason)) expect(shadowed).toEqual(strict);
  });
});

test('what mode allow_all without a rule refuses is passed only where a rule opens it', () => {
  const lax = policyOf('mode: allow_all\nadd_hosts: { api.test.example: "127.0.0.1:8443" }', OWN);
  property((asked, shadowed) => {
    if (!shadowed.allow || decide(lax, asked).allow) return;
    const text = JSON.stringify(asked, (_key, value) => (typeof value === 'object' ? value : String(value)));
    expect(text).toMatch(/intra\.internal|10\.1\.2\.3|10\.20\./);
    expect(text).not.toMatch(/10\.20\.66\./);
  });
});

test('a secret is in scope of its own hosts and of no other, passed in shadow or not', () => {
  property((asked, shadowed) => {
    if (!shadowed.allow || asked.ask !== 'request') return;
    const { host: where, scheme, port } = asked.authority;
    const own =
      where.kind === 'name' &&
      ['api.test.example', 'paths.test.example'].includes(where.name) &&
      scheme === 'https' &&
      port === 443;
    expect(shadowed.secrets).toEqual(own ? ['KEY'] : []);
  });
});

interface Case {
  readonly name: string;
  readonly asked: Question;
  readonly want: 'allow' | DenyReason;
  /** What the rules would have said. */
  readonly would?: DenyReason;
  readonly via?: 'inspect' | 'tunnel';
}

const cases: readonly Case[] = [
  {
    name: 'passes a host that no rule names',
    asked: ask.request('GET', 'https://nobody.example/'),
    want: 'allow',
    would: 'no-rule',
  },
  {
    name: 'passes a host that a deny rule names',
    asked: ask.resolve('bad.test.example'),
    want: 'allow',
    would: 'deny-rule',
  },
  {
    name: 'passes another method',
    asked: ask.request('POST', 'https://read.test.example/'),
    want: 'allow',
    would: 'method-not-allowed',
  },
  {
    name: 'passes another path',
    asked: ask.request('GET', 'https://paths.test.example/v2'),
    want: 'allow',
    would: 'path-not-allowed',
  },
  {
    name: 'passes a path of two readings',
    asked: ask.request('GET', 'https://paths.test.example/v1/../x'),
    want: 'allow',
    would: 'path-ambiguous',
  },
  {
    name: 'passes another port, opaque bytes included',
    asked: ask.open('db.test.example', 22),
    want: 'allow',
    would: 'port-not-allowed',
    via: 'tunnel',
  },
  {
    name: 'reads what goes to a host whose rules read requests',
    asked: ask.open('paths.test.example', 8443),
    want: 'allow',
    would: 'port-not-allowed',
    via: 'inspect',
  },
  {
    name: 'reads what goes to a web port',
    asked: ask.open('nobody.example', 443),
    want: 'allow',
    would: 'no-rule',
    via: 'inspect',
  },
  {
    name: 'passes unread what the operator passes unread',
    asked: ask.tls('pinned.test.example'),
    want: 'allow',
    would: 'no-rule',
    via: 'tunnel',
  },
  {
    name: 'passes another method to a private address that a rule opens',
    asked: ask.request('POST', 'http://10.1.2.3/'),
    want: 'allow',
    would: 'method-not-allowed',
  },
  {
    name: 'passes another method to a local name that a rule opens',
    asked: ask.request('POST', 'http://intra.internal/'),
    want: 'allow',
    would: 'method-not-allowed',
  },
  {
    name: 'refuses another port of a private address',
    asked: ask.openAddress('10.1.2.3:22'),
    want: 'port-not-allowed',
  },
  { name: 'refuses a private address', asked: ask.openAddress('10.0.0.1:443'), want: 'private-address' },
  {
    name: 'refuses a private address that a deny rule names within an open block',
    asked: ask.openAddress('10.20.66.1:443'),
    want: 'deny-rule',
  },
  { name: 'refuses a local name', asked: ask.resolve('printer.local'), want: 'private-address' },
  {
    name: 'refuses a local name that a deny rule names',
    asked: ask.resolve('cellar.internal'),
    want: 'deny-rule',
  },
  { name: 'refuses metadata', asked: ask.openAddress('169.254.169.254:80'), want: 'metadata-address' },
  {
    name: "refuses the gateway's own listener",
    asked: ask.openAddress('192.0.2.1:3128'),
    want: 'gateway-address',
  },
  {
    name: 'refuses to dial a private address for a name',
    asked: ask.dial('nobody.example', '10.0.0.1:443'),
    want: 'private-address',
  },
  {
    name: 'refuses to dial an address that deny_cidr names, whatever name leads there',
    asked: ask.dial('nobody.example', '93.184.216.34:443'),
    want: 'deny-rule',
  },
];

for (const { name, asked, want, would, via } of cases) {
  test(`shadow ${name}`, () => {
    const verdict = decide(shadow, asked);
    if (want !== 'allow') return void expect(verdict).toMatchObject({ allow: false, reason: want });
    expect(verdict).toMatchObject({ allow: true, wouldDeny: { reason: would }, ...(via && { via }) });
  });
}

test('shadow lets every port in, so that there is something to note', () => {
  expect(shadow.ports).toBe('any');
  expect(policyOf('allow_domain: [a.example]').ports).toHaveLength(2);
});

test('a policy in shadow warns that it enforces nothing', () => {
  expect(shadow.warnings).toContainEqual(expect.stringMatching(/^mode: shadow enforces no rule/));
  expect(real.warnings).toEqual([]);
});

test('the examples of a policy in shadow are about what its rules say', () => {
  const policy = policyOf(
    'mode: shadow\nallow_domain: [a.example]\nexamples:\n' +
      '  - { url: "https://b.example/", expect: deny, reason: no-rule }\n' +
      '  - { url: "https://a.example/", expect: allow }',
  );
  expect(runExamples(policy).map(({ pass }) => pass)).toEqual([true, true]);
});

test('an enforced shadow is the policy with mode block_all', () => {
  const sameVerdict = (policy: Policy, asked: Question) =>
    expect(decide(policy, asked)).toEqual(decide(real, asked));
  property(asked => sameVerdict(enforced(shadow), asked));
});
