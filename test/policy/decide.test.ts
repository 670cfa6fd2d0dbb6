import fc from 'fast-check';
import { compile } from '../../src/policy/compile.js';
import { decide } from '../../src/policy/decide.js';
import type { Policy } from '../../src/policy/policy.js';
import type { Question, Verdict } from '../../src/policy/question.js';
import { ask, endpoint, ip, name, policyOf } from '../support/policy.js';

/** `allow:RULE`, `tunnel:RULE` or `REASON`: what a table needs of a verdict. */
function short(verdict: Verdict): string {
  if (!verdict.allow) return verdict.reason;
  return `${verdict.via === 'tunnel' ? 'tunnel' : 'allow'}:${verdict.rule}`;
}

type Row = readonly [what: string, question: Question, want: string];

function table(title: string, policy: Policy | null, rows: readonly Row[]): void {
  test.each(rows)(`${title}: %s`, (_, question, want) => {
    expect(short(decide(policy, question))).toBe(want);
  });
}

table('without a policy', null, [
  ['a look-up is refused', ask.resolve('example.com'), 'no-policy'],
  ['a request is refused', ask.request('GET', 'https://example.com/'), 'no-policy'],
]);

const nothing = compile([]);
table('without any layer', nothing.ok ? nothing.value : null, [
  ['a look-up is refused', ask.resolve('example.com'), 'no-rule'],
  ['an address is refused', ask.openAddress('8.8.8.8:443'), 'no-rule'],
]);

const BASIC = policyOf(`
allow_domain:
  - example.com
  - "*.wild.test"
  - db.test:5432
  - { domain: both.test, ports: [443, 9000] }
  - { domain: closed.test, port: 9000, tunnel: false }
  - { domain: ssh.test, port: 443, tunnel: true }
  - { domain: datagrams.test, protocol: udp }
deny_domain: [bad.wild.test, "*.very.wild.test", "example.com:8080"]
`);
table('domain rules', BASIC, [
  ['an exact name is looked up', ask.resolve('example.com'), 'allow:allow_domain[0]'],
  ['a name below it is not', ask.resolve('www.example.com'), 'no-rule'],
  ['a wildcard covers one label', ask.resolve('a.wild.test'), 'allow:allow_domain[1]'],
  ['a wildcard covers two labels', ask.resolve('a.b.wild.test'), 'allow:allow_domain[1]'],
  ['a wildcard never covers its apex', ask.resolve('wild.test'), 'no-rule'],
  ['deny outranks allow', ask.resolve('bad.wild.test'), 'deny-rule'],
  ['a deny wildcard covers what is below', ask.open('x.very.wild.test', 443), 'deny-rule'],
  ['a deny of one port leaves the look-up', ask.resolve('example.com'), 'allow:allow_domain[0]'],
  ['a deny of one port denies that port', ask.open('example.com', 8080), 'deny-rule'],
  ['without a port, 80 is inspected', ask.open('example.com', 80), 'allow:allow_domain[0]'],
  ['without a port, 443 is inspected', ask.open('example.com', 443), 'allow:allow_domain[0]'],
  ['without a port, others are refused', ask.open('example.com', 22), 'port-not-allowed'],
  ['a port of its own is tunnelled', ask.open('db.test', 5432), 'tunnel:allow_domain[2]'],
  ['a port of its own is the only one', ask.open('db.test', 443), 'port-not-allowed'],
  ['a web port in a list is inspected', ask.open('both.test', 443), 'allow:allow_domain[3]'],
  ['another port in a list is tunnelled', ask.open('both.test', 9000), 'tunnel:allow_domain[3]'],
  ['tunnel: false is inspected', ask.open('closed.test', 9000), 'allow:allow_domain[4]'],
  ['tunnel: true is tunnelled on 443', ask.open('ssh.test', 443), 'tunnel:allow_domain[5]'],
  ['TLS on a tunnelled port is inspected', ask.tls('db.test', 5432), 'allow:allow_domain[2]'],
  ['UDP alone allows nothing', ask.resolve('datagrams.test'), 'no-rule'],
  [
    'a request is decided by its authority',
    ask.request('GET', 'https://example.com/x'),
    'allow:allow_domain[0]',
  ],
  [
    'a request to another port is refused',
    ask.request('GET', 'https://example.com:444/'),
    'port-not-allowed',
  ],
]);

const READ = policyOf(`
allow_domain:
  - { domain: api.test, methods: [GET, HEAD] }
  - { domain: api.test, methods: [POST], paths: ["/v1/**", "/login"] }
  - { domain: free.test, port: 9000 }
deny_domain:
  - { domain: api.test, paths: ["/v1/admin/**"] }
  - { domain: free.test, methods: [DELETE] }
tls: { passthrough: [api.test, free.test, other.test] }
`);
table('methods and paths', READ, [
  ['the flow opens before a request is known', ask.open('api.test', 443), 'allow:allow_domain[0]'],
  ['an allowed method passes', ask.request('GET', 'https://api.test/x'), 'allow:allow_domain[0]'],
  ['a second rule may allow', ask.request('POST', 'https://api.test/v1/x/y'), 'allow:allow_domain[1]'],
  ['another path is refused', ask.request('POST', 'https://api.test/v2'), 'path-not-allowed'],
  [
    'the query is not part of the path',
    ask.request('POST', 'https://api.test/login?x=/../'),
    'allow:allow_domain[1]',
  ],
  ['another method is refused', ask.request('PUT', 'https://api.test/v1/x'), 'method-not-allowed'],
  ['a method in lower case is another one', ask.request('get', 'https://api.test/x'), 'method-not-allowed'],
  ['a denied path is refused', ask.request('GET', 'https://api.test/v1/admin/x'), 'deny-rule'],
  ['an escaped dot is ambiguous', ask.request('GET', 'https://api.test/v1/%2e%2e/x'), 'path-ambiguous'],
  ['an escaped letter is ambiguous', ask.request('GET', 'https://api.test/v1/%61dmin/x'), 'path-ambiguous'],
  ['a denied method is refused', ask.request('DELETE', 'http://free.test:9000/'), 'deny-rule'],
  ['a denied method is refused in lower case', ask.request('delete', 'http://free.test:9000/'), 'deny-rule'],
  ['no tunnel where a request must be read', ask.open('free.test', 9000), 'allow:allow_domain[2]'],
  ['no passthrough where a request must be read', ask.tls('api.test'), 'allow:allow_domain[0]'],
  ['no passthrough past a deny rule', ask.tls('free.test', 9000), 'allow:allow_domain[2]'],
  ['passthrough allows nothing by itself', ask.tls('other.test'), 'no-rule'],
]);

table('passthrough', policyOf('allow_domain: [a.test, b.test]\ntls: { passthrough: [a.test] }'), [
  ['a listed host is tunnelled by its SNI', ask.tls('a.test'), 'tunnel:allow_domain[0]'],
  ['but opaque bytes are not', ask.open('a.test', 443), 'allow:allow_domain[0]'],
  ['another host is inspected', ask.tls('b.test'), 'allow:allow_domain[1]'],
]);

const CIDR = policyOf(`
allow_domain: [corp.test, pub.test, 9.9.9.9, "[2606:4700::1]:853", { domain: 10.9.9.9, paths: ["/ok"] }]
allow_cidr:
  - 10.1.0.0/16
  - { cidr: 8.8.8.0/24, port_start: 53, port_end: 54 }
  - 0.0.0.0/0
  - { cidr: "fd00::/8", protocol: udp }
deny_cidr: [10.1.66.0/24, 1.1.1.1]
`);
table('CIDR rules', CIDR, [
  ['a public address by the wide block', ask.openAddress('93.184.215.14:25'), 'tunnel:allow_cidr[2]'],
  ['the narrowest block is named', ask.openAddress('8.8.8.8:53'), 'tunnel:allow_cidr[1]'],
  ['a wider block may still allow', ask.openAddress('8.8.8.8:99'), 'tunnel:allow_cidr[2]'],
  ['a private block that is named is lifted', ask.openAddress('10.1.2.3:22'), 'tunnel:allow_cidr[0]'],
  ['a wide block lifts nothing private', ask.openAddress('10.2.2.3:22'), 'private-address'],
  ['IPv4 blocks say nothing of IPv6', ask.openAddress('[2606:4700::2]:443'), 'no-rule'],
  ['a block for UDP lifts nothing', ask.openAddress('[fd00::1]:443'), 'private-address'],
  ['deny_cidr outranks', ask.openAddress('10.1.66.1:22'), 'deny-rule'],
  ['a mapped address is the IPv4 one', ask.openAddress('[::ffff:1.1.1.1]:443'), 'deny-rule'],
  ['loopback is lifted by nothing', ask.openAddress('127.0.0.1:80'), 'private-address'],
  ['metadata is lifted by no block', ask.openAddress('169.254.169.254:80'), 'metadata-address'],
  [
    'an address among the domains matches itself',
    ask.request('GET', 'http://9.9.9.9/'),
    'allow:allow_domain[2]',
  ],
  ['an address is not a name', ask.resolve('9.9.9.9.example.com'), 'no-rule'],
  ['an IPv6 address has its own port', ask.openAddress('[2606:4700::1]:853'), 'tunnel:allow_domain[3]'],
  ['a request to a literal keeps its paths', ask.request('GET', 'http://10.9.9.9/no'), 'path-not-allowed'],
  ['a request to a literal may pass', ask.request('GET', 'http://10.9.9.9/ok'), 'allow:allow_domain[4]'],
]);
table('dialling what a name resolved to', CIDR, [
  ['a public address', ask.dial('pub.test', '93.184.215.14:443'), 'allow:allow_domain[1]'],
  ['a private address', ask.dial('pub.test', '10.2.0.1:443'), 'private-address'],
  ['a private address that a block names', ask.dial('corp.test', '10.1.0.1:443'), 'allow:allow_domain[0]'],
  ['a denied address', ask.dial('pub.test', '1.1.1.1:443'), 'deny-rule'],
  ['a denied address in a named block', ask.dial('corp.test', '10.1.66.6:443'), 'deny-rule'],
  ['loopback', ask.dial('pub.test', '127.0.0.1:443'), 'private-address'],
  ['loopback, mapped', ask.dial('pub.test', '[::ffff:7f00:1]:443'), 'private-address'],
  ['the unspecified address', ask.dial('pub.test', '0.0.0.0:443'), 'private-address'],
  ['metadata', ask.dial('pub.test', '169.254.169.254:80'), 'metadata-address'],
  ['a name that no rule allows', ask.dial('evil.test', '93.184.215.14:443'), 'no-rule'],
  ['a port that no rule allows', ask.dial('pub.test', '93.184.215.14:25'), 'port-not-allowed'],
  ['an address whose paths are read lifts no name', ask.dial('pub.test', '10.9.9.9:80'), 'private-address'],
  ['a literal is dialled as itself', ask.dialAddress('9.9.9.9', '9.9.9.9:443'), 'allow:allow_domain[2]'],
  ['a literal is not dialled as another', ask.dialAddress('9.9.9.9', '8.8.8.8:53'), 'no-rule'],
]);

const PINNED = policyOf(
  `
allow_domain: [host.test, fixed.test, svc.internal, gw.test, meta.test]
deny_cidr: [10.66.0.0/16]
add_hosts:
  host.test: 127.0.0.1:8443
  fixed.test: 10.0.0.9
  svc.internal: "[::1]:9000"
  gw.test: 127.0.0.1:4000
  meta.test: 169.254.169.254
  loose.test: 127.0.0.1
`,
  {
    gatewayEndpoints: [
      endpoint('127.0.0.1:4000'),
      endpoint('[::]:4001'),
      endpoint('203.0.113.9:4002'),
      endpoint('[::ffff:203.0.113.9]:4003'),
    ],
    generation: 7,
  },
);
table('add_hosts and the gateway itself', PINNED, [
  ['a pin is looked up', ask.resolve('host.test'), 'allow:allow_domain[0]'],
  [
    'a pin with a port is dialled there',
    ask.dial('host.test', '127.0.0.1:8443'),
    'allow:add_hosts.host.test',
  ],
  ['and nowhere else', ask.dial('host.test', '127.0.0.1:443'), 'no-rule'],
  ['not at a public address either', ask.dial('host.test', '93.184.215.14:8443'), 'no-rule'],
  [
    'a pin without a port keeps the port',
    ask.dial('fixed.test', '10.0.0.9:443'),
    'allow:add_hosts.fixed.test',
  ],
  ['and its rules', ask.dial('fixed.test', '10.0.0.9:22'), 'port-not-allowed'],
  [
    'a pinned local name has a meaning',
    ask.dial('svc.internal', '[::1]:9000'),
    'allow:add_hosts.svc.internal',
  ],
  ['a pin allows nothing by itself', ask.resolve('loose.test'), 'no-rule'],
  ['a pin does not open the gateway', ask.dial('gw.test', '127.0.0.1:4000'), 'gateway-address'],
  ['a pin does not open metadata', ask.dial('meta.test', '169.254.169.254:80'), 'metadata-address'],
  ['the gateway is no target', ask.openAddress('203.0.113.9:4002'), 'gateway-address'],
  ['nor is it in a mapped address', ask.openAddress('203.0.113.9:4003'), 'gateway-address'],
  ['nor on any loopback address', ask.openAddress('127.0.0.9:4001'), 'gateway-address'],
]);

table(
  'mode: allow_all',
  policyOf('mode: allow_all\ndeny_domain: [bad.test, { domain: part.test, methods: [POST] }]'),
  [
    ['a name is looked up', ask.resolve('example.com'), 'allow:mode'],
    ['a web port is inspected', ask.open('example.com', 443), 'allow:mode'],
    ['another port is tunnelled', ask.open('example.com', 22), 'tunnel:mode'],
    ['a denied name is refused', ask.open('bad.test', 22), 'deny-rule'],
    ['a partly denied name is read', ask.open('part.test', 9000), 'allow:mode'],
    ['a denied method is refused', ask.request('POST', 'https://part.test/'), 'deny-rule'],
    ['a public address passes', ask.openAddress('93.184.215.14:443'), 'allow:mode'],
    ['a private address does not', ask.openAddress('192.168.1.1:443'), 'private-address'],
    ['a local name does not', ask.resolve('printer.local'), 'private-address'],
    ['a single label does not', ask.resolve('wpad'), 'private-address'],
    ['a metadata name does not', ask.resolve('metadata.google.internal'), 'metadata-address'],
  ],
);

table('block_private_ips: false', policyOf('mode: allow_all\nblock_private_ips: false'), [
  ['a private address passes', ask.openAddress('192.168.1.1:443'), 'allow:mode'],
  ['a local name passes', ask.resolve('printer.local'), 'allow:mode'],
  ['a documentation address passes', ask.openAddress('192.0.2.1:443'), 'allow:mode'],
  ['loopback does not', ask.openAddress('127.0.0.1:443'), 'private-address'],
  ['loopback inside NAT64 does not', ask.openAddress('[64:ff9b::7f00:1]:443'), 'private-address'],
  ['metadata does not', ask.openAddress('169.254.169.254:80'), 'metadata-address'],
  ['metadata inside 6to4 does not', ask.openAddress('[2002:a9fe:a9fe::1]:80'), 'metadata-address'],
]);

table('allow_metadata', policyOf('mode: allow_all\nallow_metadata: true'), [
  ['its address passes', ask.openAddress('169.254.169.254:80'), 'allow:mode'],
  ['its name passes', ask.resolve('metadata.google.internal'), 'allow:mode'],
  ['private stays closed', ask.openAddress('10.0.0.1:80'), 'private-address'],
]);

table('local names', policyOf('allow_domain: ["*", printer.local, "*.corp.internal"]'), [
  ['a star does not mean localhost', ask.resolve('localhost'), 'private-address'],
  ['a star does not mean .internal', ask.resolve('x.internal'), 'private-address'],
  ['a rule may name one', ask.resolve('printer.local'), 'allow:allow_domain[1]'],
  ['a wildcard below may name one', ask.resolve('db.corp.internal'), 'allow:allow_domain[2]'],
  ['whose address is judged all the same', ask.dial('printer.local', '192.168.1.9:80'), 'private-address'],
]);

const SECRETS = policyOf(`
allow_domain: ["*.test", "api.test:8443"]
secrets:
  A: { hosts: [api.test] }
  B: { hosts: ["*.test", "api.test:8443"], allow_http: true }
  C: { hosts: [other.test] }
`);
test.each([
  ['https://api.test/', ['A', 'B']],
  ['http://api.test/', ['B']],
  ['https://api.test:8443/', ['B']],
  ['https://x.api.test/', ['B']],
  ['https://other.test/', ['B', 'C']],
])('the secrets in scope of %s are %j', (url, want) => {
  const verdict = decide(SECRETS, ask.request('GET', url));
  expect(verdict.allow && [...verdict.secrets].sort()).toEqual(want);
});

test('a secret does not widen the policy', () => {
  const policy = policyOf('secrets: { A: { hosts: ["*.test"] } }');
  expect(short(decide(policy, ask.request('GET', 'https://api.test/')))).toBe('no-rule');
});

test('no other question than a request names a secret', () => {
  for (const question of [ask.resolve('api.test'), ask.open('api.test', 443), ask.tls('api.test')]) {
    expect(decide(SECRETS, question)).toMatchObject({ allow: true, secrets: [] });
  }
});

test('a hint says which flag would allow it', () => {
  const hintOf = (question: Question): string => {
    const verdict = decide(BASIC, question);
    return verdict.allow ? '' : verdict.hint;
  };
  expect(hintOf(ask.open('new.example', 443))).toContain('--allow new.example would');
  expect(hintOf(ask.open('new.example', 5432))).toContain('--allow new.example:5432 would');
  expect(hintOf(ask.openAddress('10.0.0.1:80'))).toContain('--allow-cidr 10.0.0.1');
  expect(hintOf(ask.openAddress('[2606:4700::1]:99'))).toContain('--allow [2606:4700::1]:99');
});

const anyName = fc.constantFrom(
  'example.com',
  'a.wild.test',
  'api.test',
  'localhost',
  '__proto__',
  'constructor',
  'x.y.z',
);
const anyAddress = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);

test('decide is total: any question to any policy gets a verdict whose hint is one printable line', () => {
  const policies = fc.constantFrom(null, BASIC, READ, CIDR, PINNED, SECRETS);
  const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'/.%2eE;\\a*?\0\u202e') }));
  fc.assert(
    fc.property(
      policies,
      anyName,
      anyAddress,
      fc.integer({ min: 1, max: 65_535 }),
      text,
      (policy, host, bytes, port, path) => {
        const target = { address: { ...ip('0.0.0.0'), ...addressOf(bytes) }, port };
        const named = { kind: 'name', name: name(host) } as const;
        const questions: Question[] = [
          { ask: 'resolve', name: named.name },
          { ask: 'open', host: null, target },
          { ask: 'open', host: named.name, target },
          { ask: 'tls', host: named.name, target },
          { ask: 'request', authority: { scheme: 'https', host: named, port }, method: path, path },
          {
            ask: 'request',
            authority: { scheme: 'http', host: { kind: 'ip', address: target.address }, port },
            method: 'GET',
            path,
          },
          { ask: 'dial', host: named, endpoint: target },
          { ask: 'dial', host: { kind: 'ip', address: target.address }, endpoint: target },
        ];
        for (const question of questions) {
          const verdict = decide(policy, question);
          if (!verdict.allow) expect(verdict.hint).toMatch(/^[\x20-\x7e\u2026]+$/);
        }
      },
    ),
    { seed: 20261122, numRuns: 500 },
  );
});

function addressOf(bytes: Uint8Array): ReturnType<typeof ip> {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return ip(bytes.length === 4 ? bytes.join('.') : groups.join(':'));
}

test('a policy carries its generation and is frozen', () => {
  expect(PINNED.generation).toBe(7);
  expect(Object.isFrozen(PINNED)).toBe(true);
});
