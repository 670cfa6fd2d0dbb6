import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Answer } from 'dns-packet';
import { decode } from 'dns-packet';
import type { Endpoint } from '../../src/core/address.js';
import { createCachedLookUp } from '../../src/dns/cached-look-up.js';
import { createLookUp } from '../../src/dns/client.js';
import { frameMessage, takeMessage } from '../../src/dns/framing.js';
import { parseHosts, parseNameServers } from '../../src/dns/hosts-file.js';
import type { LookUpAnswer } from '../../src/dns/look-up.js';
import { createSystemResolver } from '../../src/dns/system-resolver.js';
import { address, hostname, NEVER, serverAnswer } from './support.js';

const NAME = hostname('allowed.test');
const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 60): Answer => ({ type: 'CNAME', name, data, ttl });

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
