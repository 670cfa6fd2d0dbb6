import { encodeEvent } from '../../../src/events/encode.js';
import type { Event, EventBody, NetworkEvent } from '../../../src/events/event.js';
import { recordedInLine, recordedOf } from '../../../src/events/report/recorded.js';
import { createReplay, type Replay } from '../../../src/events/report/replay.js';
import { compile } from '../../../src/policy/compile.js';
import { parsePolicy } from '../../../src/policy/document.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../../support/events.js';

function replayOf(yaml: string, bodies: readonly EventBody[]): Replay {
  const document = parsePolicy(yaml, 'candidate');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  const policy = compile([document.value]);
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  const replay = createReplay(policy.value, [document.value]);
  for (const [i, body] of bodies.entries()) {
    const event = numbered(body, i + 1);
    const recorded = recordedOf(event);
    // What is read of a line is what is read of an event.
    expect([recorded, null]).toContainEqual(recordedInLine(encodeEvent(event).slice(0, -1)));
    if (recorded !== null) replay.add(recorded);
  }
  return replay;
}

const flow = (type: Event['type'], differs: Partial<NetworkEvent>): EventBody => ({
  type,
  sandbox: 'sb1',
  network: networkOf({ layer: 'tcp', method: '', url: '', request: null, status_code: 0, ...differs }),
});

const dns = (type: Event['type'], host: string, differs: Partial<NetworkEvent> = {}): EventBody =>
  flow(type, {
    layer: 'dns',
    method: 'A',
    host,
    port: 53,
    destination: null,
    protocol: 'dns/udp',
    ...differs,
  });

const REFUSED = { decision: 'deny', blocked: true, rule: null, destination: null } as const;

interface Case {
  readonly name: string;
  readonly policy: string;
  readonly bodies: readonly EventBody[];
  readonly allowed?: number;
  readonly denied?: number;
  readonly reason?: string;
}

const ALLOWED_TEST = 'allow_domain: [allowed.test]';

const cases: readonly Case[] = [
  {
    name: 'finds nothing where the policy is the same',
    policy: ALLOWED_TEST,
    bodies: [allowedBody(), refusedBody({ url: 'https://other.test/', host: 'other.test' })],
  },
  {
    name: 'finds a host that is not allowed any more',
    policy: 'allow_domain: [other.test]',
    bodies: [allowedBody()],
    denied: 1,
    reason: 'no-rule',
  },
  {
    name: 'finds a method that is not allowed any more',
    policy: 'allow_domain: [{ domain: allowed.test, methods: [POST] }]',
    bodies: [allowedBody()],
    denied: 1,
    reason: 'method-not-allowed',
  },
  { name: 'finds a host that is allowed now', policy: ALLOWED_TEST, bodies: [refusedBody()], allowed: 1 },
  {
    name: 'finds an address that is denied when it is dialled',
    policy: `${ALLOWED_TEST}\ndeny_cidr: [93.184.216.0/24]`,
    bodies: [allowedBody()],
    denied: 1,
    reason: 'deny-rule',
  },
  {
    name: 'does not judge the address of the operator’s own proxy',
    policy: `${ALLOWED_TEST}\nproxy: { https_proxy: "http://10.0.0.5:3128" }`,
    bodies: [allowedBody({ destination: '10.0.0.5:3128' })],
  },
  {
    name: 'finds a look-up that is refused now',
    policy: '{}',
    bodies: [dns('dns.answered', 'allowed.test')],
    denied: 1,
    reason: 'no-rule',
  },
  {
    name: 'passes over the sandbox’s own loopback',
    policy: '{}',
    bodies: [dns('dns.answered', 'localhost', { rule: null })],
  },
  {
    name: 'finds a look-up that is answered now',
    policy: ALLOWED_TEST,
    bodies: [dns('dns.refused', 'allowed.test', { ...REFUSED, reason: 'no-rule' })],
    allowed: 1,
  },
  {
    name: 'finds unread bytes that would be read, and so refused',
    policy: ALLOWED_TEST,
    bodies: [flow('flow.closed', { protocol: 'tcp' })],
    denied: 1,
    reason: 'not-inspectable',
  },
  {
    name: 'finds a tunnel that stays one',
    policy: 'allow_domain: ["allowed.test:5432"]',
    bodies: [flow('flow.closed', { protocol: 'tcp', port: 5432, destination: '93.184.216.34:5432' })],
  },
  {
    name: 'leaves a flow to the requests in it',
    policy: '{}',
    bodies: [flow('flow.closed', { protocol: 'https', destination: null })],
  },
  {
    name: 'leaves what was no rule’s doing',
    policy: ALLOWED_TEST,
    bodies: [
      refusedBody({ reason: 'secret-leak' }),
      refusedBody({ reason: 'LIMIT_EXCEEDED', status_code: 429 }),
    ],
  },
  {
    name: 'takes a refused address for refused so long as nothing opens private ones',
    policy: ALLOWED_TEST,
    bodies: [refusedBody({ reason: 'private-address' })],
  },
  {
    name: 'takes a refused address for allowed once private ones are open',
    policy: `${ALLOWED_TEST}\nblock_private_ips: false`,
    bodies: [refusedBody({ reason: 'private-address' })],
    allowed: 1,
  },
  {
    name: 'takes a denied address for denied so long as addresses are denied',
    policy: `${ALLOWED_TEST}\ndeny_cidr: [10.0.0.0/8]`,
    bodies: [refusedBody({ reason: 'deny-rule', rule: 'deny_cidr[0]' })],
  },
  {
    name: 'judges a candidate in shadow as it will be enforced',
    policy: 'mode: shadow',
    bodies: [allowedBody()],
    denied: 1,
    reason: 'no-rule',
  },
  {
    name: 'judges what shadow let pass by what happened',
    policy: '{}',
    bodies: [allowedBody({ would_deny: 'no-rule', rule: 'mode' })],
    denied: 1,
    reason: 'no-rule',
  },
  {
    name: 'judges an address by itself',
    policy: 'allow_cidr: [198.51.100.7/32]\nblock_private_ips: false',
    bodies: [
      allowedBody({
        url: 'http://198.51.100.7/',
        host: '198.51.100.7',
        port: 80,
        destination: '198.51.100.7:80',
      }),
    ],
  },
  {
    name: 'asks CONNECT of the explicit proxy as a flow',
    policy: 'allow_domain: [allowed.test]',
    bodies: [refusedBody({ method: 'CONNECT', url: 'allowed.test' })],
    allowed: 1,
  },
  {
    name: 'passes over what nobody can read',
    policy: '{}',
    bodies: [
      refusedBody({ url: '', method: '', reason: 'bad-request-line' }),
      allowedBody({ url: 'nonsense', host: 'a b' }),
    ],
  },
];

for (const { name, policy, bodies, allowed = 0, denied = 0, reason } of cases) {
  test(`replay ${name}`, () => {
    const { newlyAllowed, newlyDenied } = replayOf(policy, bodies);
    expect({ allowed: newlyAllowed.total, denied: newlyDenied.total }).toEqual({ allowed, denied });
    if (denied > 0) expect(newlyDenied.ranked()[0]).toMatchObject({ reason });
  });
}

test('replay names rules that decided nothing', () => {
  const policy =
    'allow_domain: [allowed.test, idle.test]\ndeny_domain: [bad.test, idle.test]\ndeny_cidr: [10.0.0.0/8]';
  const replay = replayOf(policy, [
    allowedBody(),
    dns('dns.refused', 'bad.test', { ...REFUSED, reason: 'no-rule' }),
  ]);
  expect(replay.unusedRules()).toEqual(['allow_domain[1]', 'deny_domain[1]', 'deny_cidr[0]']);
});

test('replay tells where a secret could go that it never went', () => {
  const policy =
    'allow_domain: [allowed.test, other.test]\nsecrets: { KEY: { hosts: [allowed.test, other.test] }, OLD: { hosts: [allowed.test] } }';
  const other = { url: 'https://other.test/', host: 'other.test' };
  const replay = replayOf(policy, [
    allowedBody({ secrets: ['KEY', 'OLD'] }),
    refusedBody({ ...other, reason: 'secret-leak', secrets: ['KEY'] }),
  ]);
  expect(replay.reach.grown()).toEqual([['KEY', ['https://other.test']]]);
});

test('replay counts changes of one kind together, without their queries', () => {
  const asked = (n: number) => allowedBody({ url: `https://allowed.test/p?n=${n}` });
  const { newlyDenied } = replayOf(
    '{}',
    Array.from({ length: 30 }, (_, n) => asked(n)),
  );
  expect(newlyDenied.ranked()).toEqual([
    { subject: 'GET https://allowed.test/p', reason: 'no-rule', rule: null, times: 30 },
  ]);
});
