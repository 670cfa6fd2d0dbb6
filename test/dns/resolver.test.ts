import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Answer, Packet } from 'dns-packet';
import { decode } from 'dns-packet';
import fc from 'fast-check';
import type { Endpoint } from '../../src/core/address.js';
import { createCachedLookUp } from '../../src/dns/cached-look-up.js';
import { createLookUp } from '../../src/dns/client.js';
import { frameMessage, takeMessage } from '../../src/dns/framing.js';
import { parseHosts, parseNameServers } from '../../src/dns/hosts-file.js';
import type { LookUpAnswer } from '../../src/dns/look-up.js';
import { createSystemResolver } from '../../src/dns/system-resolver.js';
import { emitQuestion, readAnswer } from '../../src/dns/upstream-message.js';
import { address, hostname, NEVER, serverAnswer } from './support.js';

const NAME = hostname('allowed.test');
const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 60): Answer => ({ type: 'CNAME', name, data, ttl });
const chain = (length: number): Answer[] =>
  Array.from({ length }, (_, i) => cname(i === 0 ? 'allowed.test' : `c${i}.test`, `c${i + 1}.test`));

type Read = ReturnType<typeof readAnswer>;
const texts = (read: Read): unknown => {
  if (!read.ok) return read.error;
  return read.value.kind === 'addresses' ? read.value.addresses.map(({ text }) => text) : read.value.kind;
};

const answers: { name: string; parts: Partial<Packet>; want: string | string[] }[] = [
  {
    name: 'reads the addresses of the name',
    parts: { answers: [a('allowed.test', '192.0.2.1'), a('ALLOWED.test', '192.0.2.2')] },
    want: ['192.0.2.1', '192.0.2.2'],
  },
  {
    name: 'follows an alias',
    parts: { answers: [cname('allowed.test', 'X.evil.test'), a('x.evil.test', '10.0.0.1')] },
    want: ['10.0.0.1'],
  },
  {
    name: 'follows eight aliases',
    parts: { answers: [...chain(8), a('c8.test', '192.0.2.1')] },
    want: ['192.0.2.1'],
  },
  {
    name: 'refuses nine aliases',
    parts: { answers: [...chain(9), a('c9.test', '192.0.2.1')] },
    want: 'chain',
  },
  {
    name: 'refuses a loop of aliases',
    parts: { answers: [cname('allowed.test', 'b.test'), cname('b.test', 'allowed.test')] },
    want: 'chain',
  },
  {
    name: 'refuses two aliases of one name',
    parts: { answers: [cname('allowed.test', 'b.test'), cname('allowed.test', 'c.test')] },
    want: 'chain',
  },
  { name: 'ignores records of another name', parts: { answers: [a('other.test', '192.0.2.1')] }, want: [] },
  {
    name: 'ignores records beside the chain',
    parts: { answers: [cname('allowed.test', 'b.test'), a('c.test', '192.0.2.1')] },
    want: [],
  },
  {
    name: 'ignores records of the other family',
    parts: { answers: [{ type: 'AAAA', name: 'allowed.test', data: '2600::1', ttl: 1 }] },
    want: [],
  },
  {
    name: 'ignores addresses in the additional section',
    parts: { additionals: [a('allowed.test', '192.0.2.1')] },
    want: [],
  },
  {
    name: 'takes 32 of 500 addresses',
    parts: {
      answers: Array.from({ length: 500 }, (_, i) => a('allowed.test', `192.0.${i >> 8}.${i & 255}`)),
    },
    want: Array.from({ length: 32 }, (_, i) => `192.0.0.${i}`),
  },
  { name: 'reads NXDOMAIN', parts: { flags: 0x183 }, want: 'no-name' },
  { name: 'takes SERVFAIL for a refusal', parts: { flags: 0x182 }, want: 'refused' },
  { name: 'asks again where TC is set', parts: { flags: 0x380 }, want: 'truncated' },
  {
    name: 'does not hear an answer to another question',
    parts: { questions: [{ type: 'A', name: 'other.test' }], answers: [a('other.test', '192.0.2.1')] },
    want: 'mismatch',
  },
  {
    name: 'does not hear an answer to another type',
    parts: { questions: [{ type: 'AAAA', name: 'allowed.test' }] },
    want: 'mismatch',
  },
  { name: 'does not hear another id', parts: { id: 8 }, want: 'mismatch' },
  { name: 'does not hear a query', parts: { type: 'query' }, want: 'mismatch' },
];

test.each(answers)('readAnswer $name', ({ parts, want }) => {
  const asked = emitQuestion(NAME, 4, 7);
  expect(texts(readAnswer(serverAnswer(asked.packet, parts), asked))).toEqual(want);
});

test('readAnswer takes the least TTL of the chain, and one with its top bit set for zero', () => {
  const asked = emitQuestion(NAME, 4, 7);
  const ttlOf = (...records: Answer[]) => {
    const read = readAnswer(serverAnswer(asked.packet, { answers: records }), asked);
    return read.ok ? read.value.ttlSeconds : read.error;
  };
  expect(ttlOf(cname('allowed.test', 'b.test', 7), a('b.test', '192.0.2.1', 50))).toBe(7);
  expect(ttlOf(a('allowed.test', '192.0.2.1', 2 ** 31))).toBe(0);
});

test('readAnswer never throws on random bytes, nor on a good answer with some bytes changed', () => {
  const asked = emitQuestion(NAME, 4, 7);
  const good = serverAnswer(asked.packet, { answers: [...chain(3), a('c3.test', '192.0.2.1')] });
  const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 });
  const mutated = changes.map(list => {
    const copy = Buffer.from(good);
    for (const [at, byte] of list) copy[at] = byte;
    return copy;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), bytes => {
      const read = readAnswer(bytes, asked);
      if (read.ok && read.value.kind === 'addresses')
        expect(read.value.addresses.length).toBeLessThanOrEqual(32);
    }),
    { seed: 53, numRuns: 2000 },
  );
});

interface FakeServer {
  readonly endpoint: Endpoint;
  readonly seen: { readonly id: number; readonly port: number; readonly tcp: boolean }[];
  close(): void;
}

/** A name server on loopback, UDP and TCP on one port. `reply` null: silence. */
async function nameServer(reply: (query: Buffer, tcp: boolean) => Buffer[] | null): Promise<FakeServer> {
  const seen: { id: number; port: number; tcp: boolean }[] = [];
  const tcp = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.on('data', bytes => {
      const query = Buffer.from(takeMessage(bytes) ?? []);
      seen.push({ id: query.readUInt16BE(0), port: socket.remotePort ?? 0, tcp: true });
      for (const answer of reply(query, true) ?? []) socket.write(frameMessage(answer));
      socket.end();
    });
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4');
  udp.on('message', (query, from) => {
    seen.push({ id: query.readUInt16BE(0), port: from.port, tcp: false });
    for (const answer of reply(query, false) ?? []) udp.send(answer, from.port, from.address);
  });
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  const close = (): void => {
    udp.close();
    tcp.close();
  };
  return { endpoint: { address: address('127.0.0.1'), port }, seen, close };
}

const good = (query: Buffer): Buffer => serverAnswer(query, { answers: [a('allowed.test', '192.0.2.1')] });
const lookUp = createLookUp({ timeoutMs: 4000, tries: 2 });

test('the client waits past forged answers for the one with its id and its question', async () => {
  const server = await nameServer(query => {
    const forged = serverAnswer(query, {
      id: (query.readUInt16BE(0) + 1) & 0xffff,
      answers: [a('allowed.test', '10.0.0.1')],
    });
    const other = serverAnswer(query, {
      questions: [{ type: 'A', name: 'x.test' }],
      answers: [a('allowed.test', '10.0.0.1')],
    });
    return [forged, other, good(query)];
  });
  expect(await lookUp(NAME, 4, [server.endpoint], NEVER)).toMatchObject({
    addresses: [{ text: '192.0.2.1' }],
  });
  server.close();
});

test('the client asks over TCP where the answer did not fit into a datagram', async () => {
  const server = await nameServer((query, tcp) => [
    tcp ? good(query) : serverAnswer(query, { flags: 0x380 }),
  ]);
  expect(await lookUp(NAME, 4, [server.endpoint], NEVER)).toMatchObject({
    addresses: [{ text: '192.0.2.1' }],
  });
  expect(server.seen.map(({ tcp }) => tcp)).toEqual([false, true]);
  server.close();
});

test('each question has an id and a port of its own, and nothing in it but the name', async () => {
  let last: Buffer = Buffer.alloc(0);
  const server = await nameServer(query => {
    last = query;
    return [good(query)];
  });
  for (let i = 0; i < 12; i++) await lookUp(NAME, 4, [server.endpoint], NEVER);
  expect(new Set(server.seen.map(({ id }) => id)).size).toBeGreaterThan(8);
  expect(new Set(server.seen.map(({ port }) => port)).size).toBeGreaterThan(8);
  expect(decode(last)).toMatchObject({
    questions: [{ name: 'allowed.test', type: 'A' }],
    additionals: [],
    answers: [],
  });
  server.close();
});

test('a server that fails or says nothing is followed by the next one', async () => {
  const broken = await nameServer(query => [serverAnswer(query, { flags: 0x182 })]);
  const silent = await nameServer(() => null);
  const sound = await nameServer(query => [good(query)]);
  const servers = [broken, silent, sound].map(({ endpoint }) => endpoint);
  const impatient = createLookUp({ timeoutMs: 1500, tries: 2 });
  expect(await impatient(NAME, 4, servers, NEVER)).toMatchObject({ kind: 'addresses' });
  for (const server of [broken, silent, sound]) server.close();
});

test.each([
  ['no server at all', 0],
  ['a server that says nothing', 1],
])('%s is RESOLVE_FAILED', async (_name, count) => {
  const silent = await nameServer(() => null);
  const servers = [silent.endpoint].slice(0, count);
  const impatient = createLookUp({ timeoutMs: 100, tries: 2 });
  await expect(impatient(NAME, 4, servers, NEVER)).rejects.toMatchObject({ code: 'RESOLVE_FAILED' });
  silent.close();
});

test('an abort ends a look-up at once, without another try', async () => {
  const silent = await nameServer(() => null);
  const stop = new AbortController();
  const failed = expect(lookUp(NAME, 4, [silent.endpoint], stop.signal)).rejects.toMatchObject({
    code: 'RESOLVE_FAILED',
  });
  setTimeout(() => stop.abort(), 20);
  await failed;
  expect(silent.seen.length).toBeLessThanOrEqual(1);
  silent.close();
});

describe('the cache', () => {
  const answer = (ttlSeconds: number): LookUpAnswer => ({
    kind: 'addresses',
    addresses: [address('192.0.2.1')],
    ttlSeconds,
  });
  const harness = (reply: () => Promise<LookUpAnswer>, max?: number) => {
    let nowMs = 0;
    let asked = 0;
    const clock = { now: () => nowMs, monotonic: () => nowMs };
    const cached = createCachedLookUp(
      () => {
        asked += 1;
        return reply();
      },
      clock,
      max,
    );
    const advance = (ms: number): void => {
      nowMs += ms;
    };
    const ask = (name = 'allowed.test', family: 4 | 6 = 4) => cached(hostname(name), family, [], NEVER);
    return { ask, cached, count: () => asked, advance };
  };

  test.each([
    [0, 999, 1001],
    [60, 59_999, 60_001],
    [2 ** 31, 299_999, 300_001],
  ])('an answer with TTL %i is fresh after %i ms and stale after %i ms', async (ttl, fresh, stale) => {
    const { ask, count, advance } = harness(async () => answer(ttl));
    await ask();
    advance(fresh);
    await ask();
    expect(count()).toBe(1);
    advance(stale - fresh);
    await ask();
    expect(count()).toBe(2);
  });

  test('many who ask at once are one question, and one of them who leaves does not disturb the others', async () => {
    let finish: (value: LookUpAnswer) => void = () => {};
    const { ask, cached, count } = harness(() => new Promise(resolve => (finish = resolve)));
    const stop = new AbortController();
    const leaver = expect(cached(NAME, 4, [], stop.signal)).rejects.toMatchObject({ code: 'RESOLVE_FAILED' });
    const stayers = [ask(), ask()];
    stop.abort();
    await leaver;
    finish(answer(60));
    await Promise.all(stayers);
    expect(count()).toBe(1);
  });

  test('a failure is not remembered', async () => {
    const { ask, count } = harness(() => Promise.reject(new Error('down')));
    await expect(ask()).rejects.toThrow('down');
    await expect(ask()).rejects.toThrow('down');
    expect(count()).toBe(2);
  });

  test('the oldest answer makes room, and the families are apart', async () => {
    const { ask, count } = harness(async () => answer(60), 2);
    await ask('a.test');
    await ask('a.test', 6);
    await ask('b.test');
    await ask('a.test', 6);
    expect(count()).toBe(3);
    await ask('a.test');
    expect(count()).toBe(4);
  });
});

test('parseHosts reads names and all their addresses, and passes over what makes no sense', () => {
  const table = parseHosts(
    '127.0.0.1 localhost # me\n::1 localhost\n\n010.0.0.1 bad.test\n192.0.2.1 a.test B.test bad..test *\nnonsense\n192.0.2.1 a.test\n',
  );
  const plain = [...table].map(([name, list]) => [name, list.map(({ text }) => text)]);
  expect(plain).toEqual([
    ['localhost', ['127.0.0.1', '::1']],
    ['a.test', ['192.0.2.1']],
    ['b.test', ['192.0.2.1']],
  ]);
});

test('parseNameServers reads the first three addresses', () => {
  const servers = parseNameServers(
    '# generated\nsearch x.test\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver 2600::53\nnameserver 127.1\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n',
  );
  expect(servers.map(({ address: { text }, port }) => `${text} ${port}`)).toEqual([
    '192.0.2.53 53',
    '2600::53 53',
    '192.0.2.54 53',
  ]);
});

describe('the system resolver', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dns-test-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const resolverFor = (server: FakeServer | null) =>
    createSystemResolver({
      servers: () => (server === null ? [] : [server.endpoint]),
      client: { timeoutMs: 2000, tries: 2 },
      hostsPath: join(folder, 'hosts'),
      resolvConfPath: join(folder, 'resolv.conf'),
    });

  test('gives the addresses of both families', async () => {
    const server = await nameServer(query => {
      const [question] = decode(query).questions ?? [];
      return [
        question?.type === 'A'
          ? good(query)
          : serverAnswer(query, {
              answers: [{ type: 'AAAA', name: 'allowed.test', data: '2600::1', ttl: 9 }],
            }),
      ];
    });
    const found = await resolverFor(server).resolve(NAME, NEVER);
    expect(found.map(({ text }) => text)).toEqual(['192.0.2.1', '2600::1']);
    server.close();
  });

  test('gives what one family has when the other fails', async () => {
    const server = await nameServer(query => [
      decode(query).questions?.[0]?.type === 'A' ? good(query) : serverAnswer(query, { flags: 0x182 }),
    ]);
    const found = await resolverFor(server).resolve(NAME, NEVER);
    expect(found.map(({ text }) => text)).toEqual(['192.0.2.1']);
    server.close();
  });

  test.each([
    ['an empty answer', {}],
    ['NXDOMAIN', { flags: 0x183 }],
    ['SERVFAIL', { flags: 0x182 }],
    ['a loop of aliases', { answers: [cname('allowed.test', 'b.test'), cname('b.test', 'allowed.test')] }],
  ])('takes %s for RESOLVE_FAILED', async (_name, parts) => {
    const server = await nameServer(query => [serverAnswer(query, parts)]);
    await expect(resolverFor(server).resolve(NAME, NEVER)).rejects.toMatchObject({ code: 'RESOLVE_FAILED' });
    server.close();
  });

  test('reads the hosts file first, and again when it has changed', async () => {
    const resolver = resolverFor(null);
    await writeFile(join(folder, 'hosts'), '192.0.2.7 allowed.test\n');
    expect((await resolver.resolve(NAME, NEVER))[0]?.text).toBe('192.0.2.7');
    await writeFile(join(folder, 'hosts'), '192.0.2.8 allowed.test\n');
    await utimes(join(folder, 'hosts'), 1, 1);
    expect((await resolver.resolve(NAME, NEVER))[0]?.text).toBe('192.0.2.8');
    await rm(join(folder, 'hosts'));
    await expect(resolver.resolve(NAME, NEVER)).rejects.toMatchObject({ code: 'RESOLVE_FAILED' });
  });
});
