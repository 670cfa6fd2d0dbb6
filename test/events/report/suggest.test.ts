import fc from 'fast-check';
import type { EventBody, NetworkEvent } from '../../../src/events/event.js';
import { policyText } from '../../../src/events/report/policy-text.js';
import { recordedOf } from '../../../src/events/report/recorded.js';
import { createReplay } from '../../../src/events/report/replay.js';
import { Gatherer } from '../../../src/events/report/suggest.js';
import { compile } from '../../../src/policy/compile.js';
import { decide } from '../../../src/policy/decide.js';
import { parsePolicy } from '../../../src/policy/document.js';
import { runExamples } from '../../../src/policy/examples.js';
import type { Policy, PolicyDocument } from '../../../src/policy/policy.js';
import type { Question } from '../../../src/policy/question.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../../support/events.js';
import { ask } from '../../support/policy.js';

const facts = (bodies: readonly EventBody[]) =>
  bodies.flatMap((body, i) => recordedOf(numbered(body, i + 1)) ?? []);

function suggested(bodies: readonly EventBody[]): { yaml: string; policy: Policy; document: PolicyDocument } {
  const gatherer = new Gatherer();
  for (const fact of facts(bodies)) gatherer.add(fact);
  const yaml = policyText(gatherer, { source: 'events.jsonl' });
  const document = parsePolicy(yaml, 'suggested');
  if (!document.ok) throw new Error(`${yaml}\n${JSON.stringify(document.error)}`);
  const policy = compile([document.value]);
  if (!policy.ok) throw new Error(`${yaml}\n${JSON.stringify(policy.error)}`);
  return { yaml, policy: policy.value, document: document.value };
}

/** What the suggestion promises: its own examples hold, and nothing of the record would be refused. */
function expectAllows(bodies: readonly EventBody[]): { yaml: string; policy: Policy } {
  const { yaml, policy, document } = suggested(bodies);
  expect(runExamples(policy).filter(({ pass }) => !pass)).toEqual([]);
  const replay = createReplay(policy, [document]);
  for (const fact of facts(bodies)) replay.add(fact);
  expect(replay.newlyDenied.ranked()).toEqual([]);
  return { yaml, policy };
}

function web(method: string, url: string, differs: Partial<NetworkEvent> = {}): EventBody {
  const { hostname, port, protocol } = new URL(url);
  const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  const host = hostname.replace(/^\[|\]$/g, '');
  const destination = `${differs.destination ?? `93.184.216.34:${number}`}`;
  return allowedBody({ method, url, host, port: number, ...differs, destination });
}

const flow = (differs: Partial<NetworkEvent>): EventBody => ({
  type: 'flow.closed',
  sandbox: 'sb1',
  network: networkOf({ layer: 'tcp', method: '', url: '', request: null, protocol: 'tcp', ...differs }),
});

const dns = (host: string): EventBody => ({
  type: 'dns.answered',
  sandbox: 'sb1',
  network: networkOf({ layer: 'dns', method: 'A', url: '', host, port: 53, destination: null }),
});

const RUN: readonly EventBody[] = [
  dns('api.example.com'),
  web('GET', 'https://api.example.com/v1/items/17?page=2'),
  web('GET', 'https://api.example.com/v1/items/4711'),
  web('POST', 'https://api.example.com/v1/items', { secrets: ['API_KEY'] }),
  web('GET', 'http://files.example.com/app.3f2a9c1b.js'),
  refusedBody({ url: 'https://evil.example.org/', host: 'evil.example.org' }),
];

test('suggest allows what was done, with ports, methods and paths, and nothing else', () => {
  const { yaml, policy } = expectAllows(RUN);
  expect(yaml).toContain('{ domain: api.example.com, port: 443, methods: [GET], paths: ["/v1/items/*"] }');
  expect(yaml).toContain('{ domain: api.example.com, port: 443, methods: [POST], paths: ["/v1/items"] }');
  expect(yaml).toContain('{ domain: files.example.com, port: 80, methods: [GET], paths: ["/app.*.js"] }');
  expect(yaml).toContain('API_KEY: { hosts: [api.example.com] }');
  expect(yaml).not.toContain('evil');
  const refused: readonly [Question, string][] = [
    [ask.request('DELETE', 'https://api.example.com/v1/items/17'), 'method-not-allowed'],
    [ask.request('GET', 'https://api.example.com/v1/users/17'), 'path-not-allowed'],
    [ask.request('GET', 'http://api.example.com/v1/items/17'), 'port-not-allowed'],
    [ask.request('GET', 'https://evil.example.org/'), 'no-rule'],
    [ask.open('api.example.com', 22), 'port-not-allowed'],
  ];
  for (const [question, reason] of refused)
    expect(decide(policy, question)).toMatchObject({ allow: false, reason });
});

test('the same record gives the same text', () => {
  expect(suggested(RUN).yaml).toBe(suggested([...RUN].reverse()).yaml);
});

test('an empty record gives a policy that denies everything', () => {
  const { policy } = expectAllows([]);
  expect(decide(policy, ask.resolve('example.com'))).toMatchObject({ allow: false });
});

interface Case {
  readonly name: string;
  readonly bodies: readonly EventBody[];
  readonly contains: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: 'a port of unread bytes',
    bodies: [flow({ host: 'db.example.com', port: 5432, destination: '93.184.216.34:5432' })],
    contains: ['{ domain: db.example.com, port: 5432 }'],
  },
  {
    name: 'unread bytes on a web port',
    bodies: [flow({ host: 'ssh.example.com', port: 443 })],
    contains: ['port: 443, tunnel: true'],
  },
  {
    name: 'TLS that passed by its name',
    bodies: [flow({ host: 'pinned.example.com', port: 443, protocol: 'tls' })],
    contains: ['passthrough: [pinned.example.com]'],
  },
  {
    name: 'unread bytes to an address',
    bodies: [flow({ host: '93.184.216.34', port: 22, destination: '93.184.216.34:22' })],
    contains: ['{ cidr: "93.184.216.34/32", port_start: 22 }'],
  },
  {
    name: 'a request to an address',
    bodies: [
      web('GET', 'http://93.184.216.34/x'),
      web('GET', 'http://[2606:4700::1]/y', { destination: '[2606:4700::1]:80' }),
    ],
    contains: ['domain: "93.184.216.34"', 'domain: "2606:4700::1"'],
  },
  {
    name: 'a name with an address of the operator’s',
    bodies: [web('GET', 'https://local.example.test/x', { destination: '127.0.0.1:8443' })],
    contains: ['local.example.test: "127.0.0.1:8443"'],
  },
  {
    name: 'a name with several private addresses',
    bodies: [
      web('GET', 'https://in.example.com/', { destination: '10.0.0.1:443' }),
      web('GET', 'https://in.example.com/', { destination: '10.0.0.2:443' }),
    ],
    contains: ['{ cidr: "10.0.0.1/32", port_start: 443 } # of in.example.com'],
  },
  {
    name: 'a name that is only ever local',
    bodies: [dns('build.internal'), web('GET', 'http://build.internal:8080/x')],
    contains: ['domain: build.internal, port: 8080'],
  },
  {
    name: 'a path with two readings',
    bodies: [web('GET', 'https://a.example.com/x//y'), web('GET', 'https://a.example.com/z')],
    contains: ['methods: [GET] } # paths with two readings'],
  },
  {
    name: 'a method that no rule can name',
    bodies: [web('patch', 'https://a.example.com/x')],
    contains: ['port: 443, paths: ["/x"] }'],
  },
  {
    name: 'a url that was cut',
    bodies: [allowedBody({ url: 'https://allowed.test/aaaa…[+9000]' })],
    contains: ['domain: allowed.test, port: 443, methods: [GET] }'],
  },
  {
    name: 'a name that was looked up and never connected to',
    bodies: [dns('idle.example.com')],
    contains: ['idle.example.com', '# looked up, never connected to'],
  },
  {
    name: 'both web ports in one rule',
    bodies: [web('GET', 'https://a.example.com/x'), web('GET', 'http://a.example.com/x')],
    contains: ['ports: [80, 443]'],
  },
  {
    name: 'a request that failed',
    bodies: [{ ...web('GET', 'https://down.example.com/x'), type: 'request.failed' }],
    contains: ['down.example.com'],
  },
  {
    name: 'a secret over plain HTTP and on another port',
    bodies: [web('GET', 'http://a.example.com:8080/', { secrets: ['K'] })],
    contains: ['K: { hosts: ["a.example.com:8080"], allow_http: true }'],
  },
  {
    name: 'the metadata service',
    bodies: [web('GET', 'http://169.254.169.254/latest', { destination: '169.254.169.254:80' })],
    contains: ['allow_metadata: true'],
  },
];

for (const { name, bodies, contains } of cases) {
  test(`suggest knows ${name}`, () => {
    const { yaml } = expectAllows(bodies);
    for (const text of contains) expect(yaml).toContain(text);
  });
}

test('a hostile record is no way into the text of a policy', () => {
  const hostile = '"}\n  - { domain: "*" }\n#';
  const bodies = [
    allowedBody({ host: hostile, url: `https://${hostile}/` }),
    allowedBody({ url: 'https://allowed.test/"],methods:[x]', secrets: [hostile, 'OK'] }),
    dns(hostile),
    dns('*'),
  ];
  const { policy } = expectAllows(bodies);
  expect(decide(policy, ask.resolve('anything.example'))).toMatchObject({ allow: false, reason: 'no-rule' });
});

test('a host that no rule can name is left out and counted, and the rest still loads', () => {
  const { yaml, policy } = suggested([
    web('GET', 'https://-a.example.com/'),
    web('GET', 'https://b.example.com/'),
  ]);
  expect(yaml).toContain('1 events of hosts that found no room');
  expect(decide(policy, ask.resolve('b.example.com'))).toMatchObject({ allow: true });
});

test('whatever was requested is allowed by what is suggested', () => {
  const host = fc.constantFrom(
    'a.example.com',
    'b.example.com',
    'c.internal',
    '93.184.216.34',
    'xn--bcher-kva.example',
  );
  const part = fc.oneof(
    fc.stringMatching(/^[a-z0-9._~-]{1,40}$/),
    fc.nat().map(String),
    fc.constantFrom('..', '', '*', '%2f', 'a;b'),
  );
  const url = fc
    .tuple(
      fc.constantFrom('http', 'https'),
      host,
      fc.constantFrom('', ':8080', ':443'),
      fc.array(part, { maxLength: 9 }),
    )
    .map(([scheme, where, port, parts]) => `${scheme}://${where}${port}/${parts.join('/')}`)
    .filter(text => !text.startsWith('http://') || !text.includes(':443'));
  const request = fc.tuple(fc.constantFrom('GET', 'POST', 'OPTIONS', 'lower'), url).map(([method, text]) => {
    const { port, hostname } = new URL(text);
    return allowedBody({ method, url: text, host: hostname, port: Number(port) || 443, destination: null });
  });
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 40 }), bodies => void expectAllows(bodies)),
    { seed: 6_034, numRuns: 150 },
  );
});
