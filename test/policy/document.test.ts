import fc from 'fast-check';
import { compile } from '../../src/policy/compile.js';
import { documentFrom, parsePolicy } from '../../src/policy/document.js';
import { patternText } from '../../src/policy/pattern.js';
import { problemText } from '../../src/policy/problem.js';
import { policyOf } from '../support/policy.js';

function problems(text: string): string[] {
  const document = parsePolicy(text, 'p.yaml');
  return document.ok ? [] : document.error.map(problem => problemText('p.yaml', problem));
}

test.each([
  ['an unknown key', 'alow_domain: []', `p.yaml:1: alow_domain: unknown key; did you mean 'allow_domain'?`],
  ['a key that is not built', 'port_forwards: []', 'p.yaml:1: port_forwards: unknown key'],
  ['a key that nothing resembles', 'mode: block_all\nzzzzzz: 1', 'p.yaml:2: zzzzzz: unknown key'],
  [
    'a nested unknown key',
    'dns:\n  server: []',
    `p.yaml:2: dns.server: unknown key; did you mean 'servers'?`,
  ],
  ['a wrong mode', 'mode: allow', `p.yaml:1: mode: expected 'block_all' or 'allow_all' or 'shadow'`],
  ['a wrong version', 'version: 2', `p.yaml:1: version: expected '1'`],
  ['a list for a mapping', 'dns: []', 'p.yaml:1: dns: expected a mapping, found a list'],
  [
    'a number for a pattern',
    'allow_domain: [7]',
    'p.yaml:1: allow_domain[0]: expected text or a mapping, found the number 7',
  ],
  [
    'text for a switch',
    'block_private_ips: "no"',
    'p.yaml:1: block_private_ips: expected true or false, found text',
  ],
  [
    'a glued star',
    'allow_domain: ["*example.com"]',
    `p.yaml:1: allow_domain[0]: '*example.com' is not a host pattern; did you mean '*.example.com'?`,
  ],
  [
    'a URL',
    'allowed_hosts: ["https://a.test/x"]',
    `p.yaml:1: allowed_hosts[0]: 'https://a.test/x' is not a host pattern; did you mean 'a.test'?`,
  ],
  [
    'a port beyond 65535',
    'allow_domain: ["a.test:70000"]',
    `p.yaml:1: allow_domain[0]: 'a.test:70000': '70000' is not a port (1-65535)`,
  ],
  [
    'a port field beyond 65535',
    'allow_domain: [{ domain: a.test, port: 70000 }]',
    'p.yaml:1: allow_domain[0].port: a port is a whole number from 1 to 65535',
  ],
  [
    'a port twice',
    'allow_domain: [{ domain: "a.test:1", port: 2 }]',
    `p.yaml:1: allow_domain[0].domain: 'a.test:1' has a port, and 'port' or 'ports' names one too`,
  ],
  [
    'a tunnel that is read',
    'allow_domain: [{ domain: a.test, tunnel: true, methods: [GET] }]',
    'p.yaml:1: allow_domain[0].tunnel: what is tunnelled is not read: methods and paths cannot be kept',
  ],
  [
    'a method in lower case',
    'allow_domain: [{ domain: a.test, methods: [get] }]',
    'p.yaml:1: allow_domain[0].methods[0]: a method is a token in upper case, such as GET',
  ],
  [
    'a path glob with two readings',
    'allow_domain: [{ domain: a.test, paths: ["/a/../b"] }]',
    `p.yaml:1: allow_domain[0].paths[0]: '/a/../b' is not a path glob: no request with such a path is ever decided`,
  ],
  [
    'a block with host bits',
    'allow_cidr: [10.0.0.1/8]',
    `p.yaml:1: allow_cidr[0]: '10.0.0.1/8' is not a CIDR block: bits past the prefix are set`,
  ],
  [
    'a port range backwards',
    'deny_cidr: [{ cidr: 10.0.0.0/8, port_start: 9, port_end: 8 }]',
    'p.yaml:1: deny_cidr[0].port_end: port_end 8 is below port_start 9',
  ],
  [
    'a port range without a start',
    'deny_cidr: [{ cidr: 10.0.0.0/8, port_end: 8 }]',
    `p.yaml:1: deny_cidr[0].port_end: 'port_end' needs 'port_start'`,
  ],
  [
    'a pin to a name',
    'add_hosts: { a.test: b.test }',
    `p.yaml:1: add_hosts.a.test: 'b.test' is not an address: write IP, IP:PORT or [IPv6]:PORT`,
  ],
  [
    'a pin of an address',
    'add_hosts: { "1.2.3.4": 1.2.3.4 }',
    `p.yaml:1: add_hosts.1.2.3.4: '1.2.3.4' is not a host name (ambiguous-address)`,
  ],
  [
    'a secret with no hosts',
    'secrets: { A: { hosts: [] } }',
    'p.yaml:1: secrets.A.hosts: a secret with no hosts can go nowhere',
  ],
  [
    'a secret for every host',
    'secrets: { A: { hosts: ["*"] } }',
    `p.yaml:1: secrets.A.hosts[0]: a secret's hosts are named; '*' is not a name`,
  ],
  [
    'a secret with two sources',
    'secrets: { A: { hosts: [a.test], value_from: { env: A, file: b } } }',
    'p.yaml:1: secrets.A.value_from: names exactly one of env, file, command, fd, systemd, keyring, vault, aws_secrets_manager, oauth2 and jwt',
  ],
  [
    'a secret with an odd name',
    'secrets: { "A-B": { hosts: [a.test] } }',
    `p.yaml:1: secrets.A-B: 'A-B' is not the name of an environment variable`,
  ],
  ['a duplicate key', 'mode: block_all\nmode: allow_all', `p.yaml:2: the key 'mode' is given twice`],
  [
    'a duplicate key in JSON',
    '{"mode":"block_all","mode":"allow_all"}',
    `p.yaml:1: the key 'mode' is given twice`,
  ],
  [
    'a bare star pattern',
    'allow_domain:\n  - *.a.test',
    `p.yaml:2: no anchor is called '.a.test'; a pattern that begins with '*' is written in quotes: '*.example.com'`,
  ],
  [
    'a second document',
    'mode: block_all\n---\nmode: allow_all',
    'p.yaml:2: Source contains multiple documents; please use YAML.parseAllDocuments()',
  ],
  ['a key of JavaScript', 'add_hosts: { __proto__: 1.2.3.4 }', `p.yaml:1: '__proto__' is not a key`],
  ['a list as a file', '- a', 'p.yaml:1: expected a mapping, found a list'],
  ['text as a file', 'hello', 'p.yaml:1: expected a mapping, found text'],
  [
    'an example of two kinds',
    'examples: [{ url: "https://a.test", connect: "a.test:1", expect: allow }]',
    `p.yaml:1: examples[0]: has exactly one of 'url' and 'connect'`,
  ],
  [
    'an example of no reason',
    'examples: [{ url: "https://a.test", expect: deny, reason: because }]',
    `p.yaml:1: examples[0].reason: expected 'no-policy' or 'no-rule' or`,
  ],
])('parsePolicy names %s', (_, text, want) => {
  expect(problems(text)).toEqual([expect.stringContaining(want)]);
});

test('parsePolicy lists every problem at once, by line', () => {
  const text = [
    'mode: open',
    'allow_domain:',
    '  - "*a.test"',
    '  - { domain: b.test, port: 0, prot: tcp }',
    'allow_cidr: [10.0.0.0]',
    'x: 1',
  ].join('\n');
  expect(problems(text).map(line => line.split(': ').slice(0, 2).join(': '))).toEqual([
    'p.yaml:1: mode',
    'p.yaml:3: allow_domain[0]',
    'p.yaml:4: allow_domain[1].port',
    'p.yaml:4: allow_domain[1].prot',
    'p.yaml:6: x',
  ]);
});

test('an alias is unfolded, and a bomb of aliases is refused at once', () => {
  expect(policyOf('allowed_hosts: &hosts [a.test]\ndeny_domain: *hosts').denyNames).toBeDefined();
  const levels = Array.from(
    { length: 12 },
    (_, i) =>
      `x${i}: &x${i} [${Array(10)
        .fill(i === 0 ? 'a' : `*x${i - 1}`)
        .join(', ')}]`,
  );
  expect(problems(levels.join('\n'))).toEqual([
    'p.yaml: Excessive alias count indicates a resource exhaustion attack',
  ]);
});

test.each([
  ['flow sequences', '['.repeat(100_000)],
  ['closed flow sequences', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
  ['flow mappings', '{a: '.repeat(50_000)],
  ['block sequences', '- '.repeat(50_000)],
  ['block mappings', Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
])('%s nested without end are refused before they are composed', (_, text) => {
  expect(problems(text)).toEqual(['p.yaml: is nested too deeply to be a policy']);
});

test('a key that is a collection, or an alias, is refused', () => {
  expect(problems('[a]: 1')).toEqual(['p.yaml:1: a key is text']);
  expect(problems('mode: &m block_all\n*m : 1')).toEqual(['p.yaml:2: a key is text']);
});

test('a file that is wrong throughout is told in part', () => {
  const listed = problems(`allow_domain:\n${'- "*a"\n'.repeat(1200)}`);
  expect([listed.length, listed.at(-1)]).toEqual([1001, 'p.yaml: and 200 more problems']);
});

test('a file larger than a mebibyte is refused before it is parsed', () => {
  expect(problems(`# ${'x'.repeat(1024 * 1024)}`)).toEqual(['p.yaml: is larger than 1048576 bytes']);
});

test.each(['', '# nothing\n', '{}', 'version: 1'])('%j is a layer that says nothing', text => {
  const document = parsePolicy(text, 'p.yaml');
  expect(document).toMatchObject({ ok: true, value: { mode: null, allowDomain: [], secrets: [] } });
});

test('JSON and YAML are read alike', () => {
  const yaml = parsePolicy(
    'allow_domain:\n  - { domain: a.test, port: 8443, methods: [GET] }\ndns_servers: [9.9.9.9]',
    'p',
  );
  const json = parsePolicy(
    '{"allow_domain":[{"domain":"a.test","port":8443,"methods":["GET"]}],"dns_servers":["9.9.9.9"]}',
    'p',
  );
  expect(json).toEqual(yaml);
});

test('every field reaches the document', () => {
  const document = parsePolicy(
    `
version: 1
mode: allow_all
allow_metadata: true
block_private_ips: false
add_hosts: { Host.Test: "[::1]:8443" }
dns: { mode: forward, servers: ["9.9.9.9:5353"], search_domains: [corp.test], block_private: false }
dns_servers: ["2620:fe::fe"]
tls: { passthrough: ["*.pinned.test"] }
secrets:
  A: { hosts: [a.test] }
  B: { hosts: ["b.test:8443"], value_from: { file: /run/b }, placeholder: GWPH_0123456789abcdef0123456789abcdef, allow_http: true, in: [basic, 'body:json:$.token'], max_occurrences: 2, redact: false, require_placeholder: true, on_leak: block-and-stop }
  C: { hosts: [c.test], value_from: { command: [pass, show, c] } }
`,
    'p',
  );
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  const { addHosts, dns, passthrough, secrets, ...rest } = document.value;
  expect(rest).toMatchObject({ mode: 'allow_all', allowMetadata: true, blockPrivateIps: false });
  expect([...addHosts]).toEqual([
    ['host.test', { address: expect.objectContaining({ text: '::1' }), port: 8443 }],
  ]);
  expect(dns).toMatchObject({
    mode: 'forward',
    searchDomains: ['corp.test'],
    blockPrivate: false,
    servers: [{ port: 5353 }, { port: 53, address: { text: '2620:fe::fe' } }],
  });
  expect(passthrough.map(patternText)).toEqual(['*.pinned.test']);
  expect(secrets.map(secret => secret.valueFrom)).toEqual([
    { kind: 'env', name: 'A' },
    { kind: 'file', path: '/run/b' },
    { kind: 'command', command: ['pass', 'show', 'c'] },
  ]);
  expect(secrets[1]).toMatchObject({
    allowHttp: true,
    placeholder: 'GWPH_0123456789abcdef0123456789abcdef',
    in: ['basic', 'body:json:$.token'],
    maxOccurrences: 2,
    redact: false,
    requirePlaceholder: true,
    onLeak: 'block-and-stop',
    hosts: [{ port: 8443 }],
  });
});

test('documentFrom takes a plain value and names its problems without lines', () => {
  expect(documentFrom({ mode: 'open' }, 'options')).toEqual({
    ok: false,
    error: [{ path: 'mode', message: `expected 'block_all' or 'allow_all' or 'shadow'` }],
  });
});

test('no text makes parsePolicy throw, and every problem is one printable line', () => {
  const words = [
    'allow_domain',
    'mode',
    ':',
    ' ',
    '\n',
    '- ',
    '*',
    '&a',
    '*a',
    '"',
    '{',
    '}',
    '[',
    ']',
    '!!x',
    '\t',
    '\0',
    '\u202e',
    '1',
    'é',
    '<<: ',
  ];
  const texts = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...words), { maxLength: 20 }).map(parts => parts.join('')),
  );
  fc.assert(
    fc.property(texts, text => {
      for (const line of problems(text)) expect(line).toMatch(/^[\x20-\x7e\p{L}\p{M}\p{N}…]+$/u);
    }),
    { seed: 20261122, numRuns: 2000 },
  );
});

test('no plain value makes documentFrom throw', () => {
  const keys = fc.constantFrom(
    'mode',
    'allow_domain',
    'secrets',
    'add_hosts',
    'examples',
    'dns',
    '__proto__',
    'constructor',
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(keys, fc.jsonValue())), value => {
      documentFrom(value, 'options');
    }),
    { seed: 20261122, numRuns: 500 },
  );
});

describe('compile', () => {
  const layers = (...texts: string[]) =>
    compile(
      texts.map((text, i) => {
        const document = parsePolicy(text, `layer ${i}`);
        if (!document.ok) throw new Error(JSON.stringify(document.error));
        return document.value;
      }),
    );

  test('joins lists and lets a later layer replace scalars', () => {
    const policy = layers(
      'mode: allow_all\nallow_domain: [a.test]\ndns: { mode: forward }',
      'mode: block_all\nallow_domain: ["b.test:22"]',
    );
    expect(policy).toMatchObject({
      ok: true,
      value: { mode: 'block_all', blockPrivateIps: true, allowMetadata: false, dns: { mode: 'forward' } },
    });
    expect(policy.ok && policy.value.ports).toEqual([
      { from: 22, to: 22 },
      { from: 80, to: 80 },
      { from: 443, to: 443 },
    ]);
  });

  test.each([
    ['', []],
    [
      'allow_domain: [a.test]',
      [
        { from: 80, to: 80 },
        { from: 443, to: 443 },
      ],
    ],
    [
      'allow_domain: ["a.test:81"]\nallowed_hosts: [b.test]',
      [
        { from: 80, to: 81 },
        { from: 443, to: 443 },
      ],
    ],
    [
      'allow_cidr: [{ cidr: 10.0.0.0/8, port_start: 70, port_end: 90 }]\nallow_domain: [a.test]',
      [
        { from: 70, to: 90 },
        { from: 443, to: 443 },
      ],
    ],
    ['allow_cidr: [10.0.0.0/8]', 'any'],
    ['mode: allow_all', 'any'],
    ['allow_domain: [{ domain: a.test, port: 5, protocol: udp }]', []],
  ])('knows the ports that %j may ever allow', (text, want) => {
    const policy = layers(text);
    expect(policy.ok && policy.value.ports).toEqual(want);
  });

  test('refuses one secret defined twice', () => {
    expect(layers('secrets: { A: { hosts: [a.test] } }', 'secrets: { A: { hosts: [b.test] } }')).toEqual({
      ok: false,
      error: [
        { path: 'secrets.A', message: 'the secret A (for b.test) is already defined in layer 0: secrets.A' },
      ],
    });
  });

  test.each([
    ['allow_domain: ["*.github.io"]', 'allow_domain[0]: anybody can have a name under *.github.io'],
    ['allow_domain: ["*.com"]', 'allow_domain[0]: anybody can have a name under *.com'],
    [
      'allow_domain: [{ domain: a.test, protocol: udp }]',
      'allow_domain[0]: UDP is not carried; the rule does nothing',
    ],
    [
      'allow_cidr: [127.0.0.1]',
      'allow_cidr[0]: 127.0.0.1/32 is Loopback (RFC 1122); only add_hosts lifts it',
    ],
    ['allow_cidr: [169.254.169.254]', 'only allow_metadata: true lifts it'],
    ['allow_cidr: [192.0.2.0/24]', 'only block_private_ips: false lifts it'],
    [
      '{ allow_domain: [a.test], secrets: { A: { hosts: [a.test], allow_http: true } } }',
      'secrets.A: allow_http sends the value',
    ],
    ['allow_metadata: true', `layer 0: allow_metadata opens the cloud's metadata service`],
  ])('warns about %j', (text, want) => {
    const policy = layers(text);
    expect(policy.ok && policy.value.warnings).toEqual([expect.stringContaining(want)]);
  });

  test('has no warning for an ordinary policy', () => {
    const policy = layers(
      'allow_domain: ["*.example.com", api.github.com]\nallow_cidr: [10.0.0.0/8, 0.0.0.0/0]',
    );
    expect(policy.ok && policy.value.warnings).toEqual([]);
  });
});
