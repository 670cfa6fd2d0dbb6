import { policyOf } from '../support/policy.js';

const dead: readonly (readonly [string, string, string])[] = [
  ['no rule allows its host', 'secrets: { A: { hosts: [a.test] } }', 'a.test:443 is refused by no-rule'],
  [
    'a rule denies its host',
    '{ allow_domain: ["*.test"], deny_domain: [a.test], secrets: { A: { hosts: [a.test] } } }',
    'a.test:443 is refused by deny_domain[0]',
  ],
  [
    'its host passes unread',
    '{ allow_domain: [a.test], tls: { passthrough: [a.test] }, secrets: { A: { hosts: [a.test] } } }',
    'a.test:443 passes unread by tls.passthrough',
  ],
  [
    'its port is closed',
    '{ allow_domain: [a.test], secrets: { A: { hosts: ["a.test:8443"] } } }',
    'a.test:8443 is refused by',
  ],
  [
    'every one of its hosts is closed',
    '{ allow_domain: [c.test], secrets: { A: { hosts: [a.test, b.test] } } }',
    'a.test:443 is refused by no-rule',
  ],
];

test.each(dead)('a secret is an error where %s', (_, yaml, want) => {
  expect(() => policyOf(yaml)).toThrow(`secrets.A: the secret A could never be used: ${want}`);
});

test.each([
  ['one of its hosts is open', '{ allow_domain: [b.test], secrets: { A: { hosts: [a.test, b.test] } } }'],
  ['its host is a wildcard', 'secrets: { A: { hosts: ["*.test"] } }'],
  ['all that is not denied is open', '{ mode: allow_all, secrets: { A: { hosts: [a.test] } } }'],
  [
    'a deny rule covers some paths only',
    '{ allow_domain: [a.test], deny_domain: [{ domain: a.test, paths: [/x] }], secrets: { A: { hosts: [a.test] } } }',
  ],
])('a secret is none where %s', (_, yaml) => {
  expect(policyOf(yaml).secrets).toHaveLength(1);
});
