/** What a reload ends, and what it leaves: tunnels and WebSockets, which ask no questions of their own any more. */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { documentFrom } from '../../src/policy/document.js';
import { acceptOf } from '../../src/proxy/http1/handshake.js';
import { rawServer } from '../proxy/upstream/support.js';
import { type Bench, openBench } from '../support/bench.js';
import { hello } from '../support/client-hello.js';
import { makeTestCa } from '../support/tls.js';
import { startScriptedUpstream } from '../support/upstream.js';

const RAW = { host: 'allowed.test', port: 5432 };
const TLS = { host: 'allowed.test', port: 443 };
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

async function reload(bench: Bench, policy: object): Promise<void> {
  const document = documentFrom(policy, 'reloaded');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  await bench.gateway.reload([document.value]);
}

async function echoed(socket: Duplex, text: string): Promise<string> {
  socket.write(text, 'latin1');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('latin1');
}

/** However it comes about. */
function ended(socket: Duplex): Promise<void> {
  socket.on('error', () => {}); // a reset is an end
  socket.resume();
  return new Promise(resolve => {
    socket.once('end', () => resolve()).once('close', () => resolve());
  });
}

async function withEcho(policy: object, work: (bench: Bench) => Promise<void>): Promise<void> {
  const server = await rawServer(socket => void socket.pipe(socket));
  try {
    await using bench = await openBench({ policy, route: () => server });
    await work(bench);
  } finally {
    await server.close();
  }
}

const OPAQUE = { allow_domain: [{ domain: 'allowed.test', ports: [5432] }] };
const PASSED = { allow_domain: ['allowed.test'], tls: { passthrough: ['allowed.test'] } };
/** What a PostgreSQL client says first: neither TLS nor HTTP. */
const STARTUP = '\0\0\0\x08\x04\xd2\x16\x2f';
const HELLO = hello({ serverNames: ['allowed.test'] }).toString('latin1');

interface Case {
  readonly name: string;
  readonly before: object;
  readonly after: object;
  readonly target: typeof RAW;
  readonly first: string;
  readonly why: string;
}

const ends: readonly Case[] = [
  {
    name: 'opaque bytes to a host that is allowed no more',
    before: OPAQUE,
    after: { allow_domain: ['other.test'] },
    target: RAW,
    first: STARTUP,
    why: 'No rule allows allowed.test',
  },
  {
    name: 'opaque bytes to a host that is denied now',
    before: OPAQUE,
    after: { ...OPAQUE, deny_domain: ['allowed.test'] },
    target: RAW,
    first: STARTUP,
    why: 'deny_domain[0] denies',
  },
  {
    name: 'opaque bytes to an address that is denied now',
    before: OPAQUE,
    after: { ...OPAQUE, deny_cidr: ['93.184.0.0/16'] },
    target: RAW,
    first: STARTUP,
    why: 'deny_cidr[0] denies',
  },
  {
    name: 'unread TLS to a host that is denied now',
    before: PASSED,
    after: { ...PASSED, deny_domain: ['allowed.test'] },
    target: TLS,
    first: HELLO,
    why: 'deny_domain[0] denies',
  },
  {
    name: 'unread TLS to a host whose TLS is read now',
    before: PASSED,
    after: { allow_domain: ['allowed.test'] },
    target: TLS,
    first: HELLO,
    why: 'what passes is to be read',
  },
];

test.each(ends)('a reload ends $name', ({ before, after, target, first, why }) =>
  withEcho(before, async bench => {
    const socket = await bench.connect(target);
    expect(await echoed(socket, first)).toBe(first);
    const end = ended(socket);
    await reload(bench, after);
    await end;
    const closed = bench.events.find(({ type }) => type === 'flow.closed')?.network;
    expect(closed).toMatchObject({ reason: 'BLOCKED', block_reason: expect.stringContaining(why) });
  }),
);

test.each([
  { name: 'opaque bytes', before: OPAQUE, target: RAW, first: STARTUP },
  { name: 'unread TLS', before: PASSED, target: TLS, first: HELLO },
])('a reload leaves $name that it allows as they are', ({ before, target, first }) =>
  withEcho(before, async bench => {
    const socket = await bench.connect(target);
    await echoed(socket, first);
    await reload(bench, { ...before, deny_domain: ['other.test'] });
    expect(await echoed(socket, 'again')).toBe('again');
    socket.destroy();
  }),
);

test('what a client says after a reload is judged by it, however long ago the client came', () =>
  withEcho(OPAQUE, async bench => {
    const socket = await bench.connect(RAW);
    const end = ended(socket);
    socket.write('\x16'); // the beginning of a handshake, or not
    await reload(bench, { allow_domain: [{ domain: 'allowed.test', ports: [5432], methods: ['GET'] }] });
    socket.write('no handshake at all');
    await end;
    expect(bench.dialled).toEqual([]);
  }));

async function withWebSocket(
  after: object,
  work: (socket: Duplex, bench: Bench) => Promise<void>,
): Promise<void> {
  const upstreamCa = makeTestCa();
  const upstream = await startScriptedUpstream({ tls: { ca: upstreamCa, names: ['allowed.test'] } });
  const fields = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${acceptOf(KEY)}`];
  const answer = Buffer.from(['HTTP/1.1 101 Switching Protocols', ...fields, '', ''].join('\r\n'));
  upstream.script = { answer, holdMs: null, path: '/ws' };
  const policy = { allow_domain: [{ domain: 'allowed.test', paths: ['/ws'] }] };
  try {
    await using bench = await openBench({ policy, upstreamCa, route: () => upstream });
    const socket = await bench.connectTls(TLS);
    const asked = [...fields.slice(0, 2), 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`];
    socket.write(['GET /ws HTTP/1.1', 'Host: allowed.test', ...asked, '', ''].join('\r\n'));
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString('latin1')).toMatch(/^HTTP\/1\.1 101 /);
    const end = ended(socket);
    await reload(bench, after);
    await Promise.race([end, work(socket, bench)]);
  } finally {
    await upstream.close();
  }
}

test('a reload ends a WebSocket whose request it would refuse, and says why', () =>
  withWebSocket({ allow_domain: [{ domain: 'allowed.test', paths: ['/other'] }] }, async (socket, bench) => {
    await new Promise(resolve => socket.once('close', resolve));
    const last = bench.events.find(({ type }) => type === 'request.refused')?.network;
    expect(last).toMatchObject({ reason: 'path-not-allowed', status_code: 101, layer: 'websocket' });
  }));
