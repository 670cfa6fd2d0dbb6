import { decode } from 'dns-packet';
import type { LookUpAnswer } from '../../src/dns/look-up.js';
import type { Emit } from '../../src/events/event.js';
import { address, hostname, NEVER, queryBytes, readReply, testRoom } from './support.js';

const A = 1;
const PTR = 12;
const AAAA = 28;
const FORWARD = { settings: () => ({ mode: 'forward', servers: [], blockPrivate: true }) as const };

const found = (ttlSeconds: number, ...texts: string[]): LookUpAnswer => ({
  kind: 'addresses',
  addresses: texts.map(address),
  ttlSeconds,
});

test('an allowed name gets a synthetic address of each family, an event each, and nothing leaves', async () => {
  const { ask, facts, asked, room } = testRoom();
  expect(await ask('allowed.test', A)).toMatchObject({ rcode: 0, data: ['198.18.0.1'], ttl: 60 });
  expect(await ask('ALLOWED.test', AAAA)).toMatchObject({ rcode: 0, data: ['2001:2::1'], ttl: 60 });
  expect(room.nameOf(address('2001:2::1'))).toBe('allowed.test');
  expect(asked).toEqual([]);
  expect(facts.map(fact => [fact.type, fact.network.host, fact.network.url, fact.network.rule])).toEqual([
    ['dns.answered', 'allowed.test', 'dns:allowed.test?type=A', 'allow_domain[0]'],
    ['dns.answered', 'allowed.test', 'dns:allowed.test?type=AAAA', 'allow_domain[0]'],
  ]);
});

test('what the room tells can be emitted as it is', () => {
  const seen: string[] = [];
  const emit: Emit = event => void seen.push(event.type);
  return expect(
    testRoom({ emit })
      .ask('allowed.test', A)
      .then(() => seen),
  ).resolves.toEqual(['dns.answered']);
});

test('a denied name is NXDOMAIN with an event that says why, and nothing leaves in either mode', async () => {
  for (const settings of [{}, FORWARD]) {
    const { ask, facts, asked } = testRoom(settings);
    expect(await ask('exfil.evil.test', A)).toMatchObject({ rcode: 3, data: [] });
    expect(asked).toEqual([]);
    expect(facts).toMatchObject([
      {
        type: 'dns.refused',
        sandbox: 's1',
        network: {
          blocked: true,
          reason: 'no-rule',
          block_reason: 'no rule allows it',
          host: 'exfil.evil.test',
          generation: 7,
          request_bytes: 33,
          protocol: 'dns/udp',
        },
      },
    ]);
  }
});

test('a refusal carries an Extended DNS Error only to an asker that spoke EDNS (RFC 8914)', async () => {
  const { ask } = testRoom();
  const plain = await ask('evil.test', A);
  expect(plain.packet.additionals).toEqual([]);
  const extended = await ask('evil.test', A, { edns: {} });
  const [opt] = extended.packet.additionals ?? [];
  expect(opt).toMatchObject({
    type: 'OPT',
    options: [{ code: 15, data: Buffer.from('\0\x0fno-rule', 'latin1') }],
  });
});

test.each([2, 5, 6, 13, 15, 16, 33, 35, 43, 48, 64, 65, 255, 257, 65_280])(
  'type %i of an allowed name is answered with nothing',
  async type => {
    const { ask, asked } = testRoom(FORWARD);
    expect(await ask('allowed.test', type)).toMatchObject({ rcode: 0, data: [] });
    expect(asked).toEqual([]);
  },
);

test.each([0, 41, 249, 250, 251, 252, 253])('type %i is no record and is not implemented', async type => {
  const { ask, facts } = testRoom();
  expect(await ask('allowed.test', type)).toMatchObject({ rcode: 4, data: [] });
  expect(facts).toMatchObject([{ type: 'dns.refused', network: { reason: 'dns-type' } }]);
});

test.each([
  ['.', '.'],
  ['allowed\0ev.test', 'allowed\\000ev.test'],
  ['*\\".test', '\\042\\092\\034.test'],
  ['\xff\xfe.test', '\\255\\254.test'],
  ['127.0.0.1', '127.0.0.1'],
])('the odd name %j is NXDOMAIN and its event has no odd byte', async (name, host) => {
  const { ask, facts } = testRoom({
    decide: () => ({ allow: true, rule: 'mode', via: 'tunnel', secrets: [] }),
  });
  expect(await ask(name, A)).toMatchObject({ rcode: 3, data: [] });
  expect(facts).toMatchObject([{ network: { reason: 'dns-bad-name', host } }]);
});

test('localhost is the loopback of the sandbox itself, and never asked about', async () => {
  const { ask, asked } = testRoom(FORWARD);
  expect((await ask('localhost', A)).data).toEqual(['127.0.0.1']);
  expect((await ask('app.localhost', AAAA)).data).toEqual(['::1']);
  expect(await ask('localhost', 16)).toMatchObject({ rcode: 0, data: [] });
  expect(asked).toEqual([]);
});

test('a synthetic address has a reverse name, any other address has none', async () => {
  const { ask, facts } = testRoom();
  await ask('allowed.test', A);
  expect((await ask('1.0.18.198.in-addr.arpa', PTR)).data).toEqual(['allowed.test']);
  const reversed = [...'20010002000000000000000000000001'].reverse().join('.');
  expect((await ask(`${reversed}.ip6.arpa`, PTR)).data).toEqual(['allowed.test']);
  expect(await ask('1.0.18.198.in-addr.arpa', A)).toMatchObject({ rcode: 0, data: [] });
  for (const name of [
    '1.0.0.127.in-addr.arpa',
    '8.8.8.8.in-addr.arpa',
    'in-addr.arpa',
    '1.2.ip6.arpa',
    'x.in-addr.arpa',
  ]) {
    expect(await ask(name, PTR)).toMatchObject({ rcode: 3, data: [] });
  }
  expect(facts.at(-1)?.network.reason).toBe('dns-unknown-address');
});

test('without IPv6 in the sandbox AAAA is answered with nothing', async () => {
  const { ask } = testRoom({ ipv6: false });
  expect(await ask('allowed.test', AAAA)).toMatchObject({ rcode: 0, data: [] });
  expect(await ask('localhost', AAAA)).toMatchObject({ rcode: 0, data: [] });
});

test('a name that carries a secret is refused, allowed or not, and the leak is told by the name of the secret', async () => {
  const { ask, facts, asked } = testRoom({
    ...FORWARD,
    secretsIn: text => (text.includes('gtph') ? ['TOKEN'] : []),
  });
  expect(await ask('gtph-7f3a.allowed.test', A)).toMatchObject({ rcode: 3, data: [] });
  expect(asked).toEqual([]);
  expect(facts).toMatchObject([
    { type: 'secret.leak', network: { secrets: ['TOKEN'], blocked: true, reason: 'secret-in-name' } },
    { type: 'dns.refused', network: { secrets: ['TOKEN'], blocked: true, reason: 'secret-in-name' } },
  ]);
});

test('unreadable bytes get the answer that the reader names, with an event', async () => {
  const { room, facts } = testRoom();
  expect(await room.answer(Buffer.alloc(11), 'udp', NEVER)).toBeNull();
  const update = await room.answer(queryBytes('allowed.test', A, { flags: 0x2900 }), 'udp', NEVER);
  expect(Buffer.from(update ?? []).toString('hex')).toBe(`1234a984${'00'.repeat(8)}`);
  expect(facts.map(fact => fact.network.reason)).toEqual(['dns-truncated', 'dns-opcode']);
});

test('no answer in the synthetic mode is more than 28 bytes longer than its query', async () => {
  const { room } = testRoom();
  for (const name of ['allowed.test', 'evil.test', `${'a'.repeat(63)}.allowed.test`, 'localhost']) {
    for (const type of [A, AAAA, PTR, 16, 65, 252, 255]) {
      for (const parts of [{}, { edns: {} }]) {
        const query = queryBytes(name, type, parts);
        const reply = await room.answer(query, 'udp', NEVER);
        expect(reply?.length ?? 0).toBeLessThanOrEqual(query.length + 28);
      }
    }
  }
});

test('when every name is in use the answer is SERVFAIL, and an event names the limit', async () => {
  const { ask, facts } = testRoom({ limits: { queriesPerSecond: 200, burst: 400, names: 1, streams: 64 } });
  await ask('a.allowed.test', A);
  expect(await ask('b.allowed.test', A)).toMatchObject({ rcode: 2, data: [] });
  expect(facts.at(-1)).toMatchObject({
    type: 'dns.refused',
    network: { reason: 'LIMIT_EXCEEDED', rule: 'allow_domain[0]' },
  });
});

test('over the rate UDP falls silent, TCP is refused, and one event a second counts both', async () => {
  const { room, facts, advance } = testRoom({
    limits: { queriesPerSecond: 10, burst: 2, names: 10, streams: 64 },
  });
  const query = queryBytes('allowed.test', A);
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push(await room.answer(query, 'udp', NEVER));
  expect(answers.map(answer => answer !== null)).toEqual([true, true, false, false, false]);
  const refused = await room.answer(query, 'tcp', NEVER);
  expect(readReply(refused ?? Buffer.alloc(0)).rcode).toBe(5);
  advance(1000);
  expect(await room.answer(query, 'udp', NEVER)).not.toBeNull();
  const limited = facts.filter(fact => fact.network.reason === 'LIMIT_EXCEEDED');
  expect(limited.map(fact => fact.network.block_reason)).toEqual([
    "queries or connections over the resolver's limits: 1",
    "queries or connections over the resolver's limits: 3",
  ]);
});

test('the forward mode gives the real addresses, remembers whose they are, and keeps the TTL within bounds', async () => {
  const { ask, asked, room } = testRoom(FORWARD, (_name, family) =>
    family === 4 ? found(2 ** 31, '203.0.114.1', '203.0.114.2') : found(0, '2600::1'),
  );
  expect(await ask('allowed.test', A)).toMatchObject({ data: ['203.0.114.1', '203.0.114.2'], ttl: 300 });
  expect(await ask('allowed.test', AAAA)).toMatchObject({ data: ['2600::1'], ttl: 5 });
  expect(room.nameOf(address('203.0.114.2'))).toBe('allowed.test');
  expect(asked).toEqual(['allowed.test/4', 'allowed.test/6']);
});

test.each(['10.0.0.1', '127.0.0.1', '169.254.169.254', '198.18.0.7', '::ffff:10.0.0.1'])(
  'in the forward mode one %s among the addresses refuses the name',
  async bad => {
    const { ask, facts, room } = testRoom(FORWARD, () => found(60, '203.0.114.1', bad));
    expect(await ask('allowed.test', bad.includes(':') ? AAAA : A)).toMatchObject({ rcode: 3, data: [] });
    expect(facts).toMatchObject([{ type: 'dns.refused', network: { reason: 'private-address' } }]);
    expect(room.nameOf(address('203.0.114.1'))).toBeNull();
  },
);

test.each([
  ['10.0.0.1', 0],
  ['127.0.0.1', 3],
  ['169.254.169.254', 3],
  ['198.18.0.7', 3],
])('with block_private off the forward mode answers %s with rcode %i', async (text, rcode) => {
  const settings = () => ({ mode: 'forward', servers: [], blockPrivate: false }) as const;
  const { ask } = testRoom({ settings }, () => found(60, text));
  expect((await ask('allowed.test', A)).rcode).toBe(rcode);
});

test('the forward mode passes NXDOMAIN on, and makes SERVFAIL of a look-up that failed', async () => {
  const { ask, facts } = testRoom(FORWARD, name =>
    name === 'allowed.test' ? new Error('timeout') : { kind: 'no-name', ttlSeconds: 5 },
  );
  expect((await ask('allowed.test', A)).rcode).toBe(2);
  expect((await ask('no.allowed.test', A)).rcode).toBe(3);
  expect(facts.map(fact => [fact.type, fact.network.reason])).toEqual([
    ['dns.answered', 'RESOLVE_FAILED'],
    ['dns.answered', null],
  ]);
});

test('a name that add_hosts pins is synthetic in the forward mode too', async () => {
  const { ask, asked } = testRoom({ ...FORWARD, isPinned: name => name === hostname('db') });
  expect((await ask('db', A)).data).toEqual(['198.18.0.1']);
  expect(asked).toEqual([]);
});

test('an answer that is too long for UDP is cut to its question with TC set, and whole over TCP', async () => {
  const many = Array.from({ length: 32 }, (_, i) => `203.0.114.${i}`);
  const { ask, room } = testRoom(FORWARD, () => found(60, ...many));
  expect(await ask('allowed.test', A)).toMatchObject({ truncated: true, data: [] });
  expect(await ask('allowed.test', A, { edns: { udpBytes: 4096 } })).toMatchObject({
    truncated: false,
    data: many,
  });
  const whole = await room.answer(queryBytes('allowed.test', A), 'tcp', NEVER);
  expect(decode(Buffer.from(whole ?? [])).answers).toHaveLength(32);
});

test('a reload of the policy is seen by the next query', async () => {
  let mode: 'synthetic' | 'forward' = 'synthetic';
  const { ask } = testRoom({ settings: () => ({ mode, servers: [], blockPrivate: true }) }, () =>
    found(60, '203.0.114.1'),
  );
  expect((await ask('allowed.test', A)).data).toEqual(['198.18.0.1']);
  mode = 'forward';
  expect((await ask('allowed.test', A)).data).toEqual(['203.0.114.1']);
});
