import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { UpstreamAnswer } from '../../../src/proxy/exchange.js';
import { trustRoots } from '../../../src/proxy/upstream/trust.js';
import { createUpstream, type Upstream, type UpstreamRequest } from '../../../src/proxy/upstream/upstream.js';
import { makeTestCa, startTlsServer, type TestServer } from '../../support/tls.js';
import {
  ALLOW,
  authorityOf,
  bytesOf,
  closedPort,
  DENY,
  diallerTo,
  ip,
  NEVER,
  outboundOf,
  type RequestOptions,
  rawServer,
  requestOf,
  resolverOf,
  upstreamTo,
} from './support.js';

const ca = makeTestCa();
const EMPTY = 'HTTP/1.1 204 No Content\r\n\r\n';

let closing: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const one of closing.reverse()) await one.close();
  closing = [];
});

function keep<T extends { close: () => unknown }>(one: T): T {
  closing.push(one);
  return one;
}

/** Answers each request head without content by `answer(n)`, n counting from 1 on each connection. */
function answering(
  answer: (n: number, head: string, socket: TLSSocket) => string,
): (socket: TLSSocket) => void {
  return socket => {
    let head = '';
    let count = 0;
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1');
      for (let end = head.indexOf('\r\n\r\n'); end >= 0; end = head.indexOf('\r\n\r\n')) {
        const text = answer(++count, head.slice(0, end), socket);
        head = head.slice(end + 4);
        if (text) socket.write(text, 'latin1');
      }
    });
  };
}

async function serving(
  answer: (n: number, head: string, socket: TLSSocket) => string = () => EMPTY,
): Promise<{ server: TestServer; upstream: Upstream; get: typeof get }> {
  const server = keep(
    await startTlsServer({ ca, names: ['api.test'], alpn: ['http/1.1'], handler: answering(answer) }),
  );
  const upstream = keep(upstreamTo(server.port, ca.rootPem));
  const get = (options: RequestOptions = {}, over: Partial<UpstreamRequest> = {}): Promise<UpstreamAnswer> =>
    upstream.send(requestOf(outboundOf({ version: '1.1', ...options }), over), NEVER);
  return { server, upstream, get };
}

const sharing: [
  name: string,
  over: Partial<UpstreamRequest>,
  options: RequestOptions,
  connections: number,
][] = [
  ['the same sandbox', {}, {}, 1],
  ['another sandbox', { sandbox: 'b' }, {}, 2],
  ['a sandbox whose name imitates a key', { sandbox: '1 a' }, {}, 2],
  ['another generation of the policy', { generation: 2 }, {}, 2],
  ['another port', {}, { authority: authorityOf('api.test:8443') }, 2],
];

for (const [name, over, options, connections] of sharing) {
  test(`${name} makes ${connections} connection(s) of two requests`, async () => {
    const { server, get } = await serving();
    await get();
    await get(options, over);
    expect(server.seen.connections).toBe(connections);
  });
}

const NO_PHASES = { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null };

test('the first request over a connection has every phase, the second only its own', async () => {
  const { get } = await serving();
  const first = { ...NO_PHASES };
  const second = { ...NO_PHASES };
  await get({}, { phases: first });
  await get({}, { phases: second });
  for (const ms of Object.values(first)) expect(ms).toBeGreaterThanOrEqual(0);
  expect(second).toEqual({ ...NO_PHASES, firstByteMs: expect.any(Number) });
});

test('an address of the operator costs no look-up, and a phase that failed has its time', async () => {
  const upstream = keep(upstreamTo(await closedPort(), ca.rootPem));
  const phases = { ...NO_PHASES };
  const pin = { address: ip('93.184.216.34'), port: null };
  const sent = upstream.send(requestOf(outboundOf({ version: '1.1' }), { phases, pin }), NEVER);
  await expect(sent).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
  expect(phases).toEqual({ ...NO_PHASES, connectMs: expect.any(Number) });
});

test('a connection is used again after an answer with content was read, and not while it is', async () => {
  const { server, get } = await serving(() =>
    'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n'.padEnd(200, 'x'),
  );
  const first = await get();
  await get();
  expect(server.seen.connections).toBe(2);
  expect(first.body).toBeInstanceOf(Readable);
  (first.body as Readable).destroy();
  await new Promise(resolve => setTimeout(resolve, 20));
  await get();
  expect(server.seen.connections).toBe(3);
});

test('a streamed answer gives its connection back at its end', async () => {
  const body = 'x'.repeat(100_000);
  const { server, get } = await serving(
    () => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  for (let i = 0; i < 3; i++) expect((await bytesOf((await get()).body)).length).toBe(body.length);
  expect(server.seen.connections).toBe(1);
});

test('a request is sent once more when the connection it was given had died', async () => {
  const { server, get } = await serving((n, _head, socket) => {
    if (n === 1) return EMPTY;
    socket.destroy();
    return '';
  });
  const asked: number[] = [];
  await get();
  const decideDial = () => {
    asked.push(1);
    return ALLOW;
  };
  expect((await get({}, { decideDial })).head.status).toBe(204);
  expect(server.seen.connections).toBe(2);
  // The new connection's address was a question again.
  expect(asked).toEqual([1]);
});

test('a repetition is denied where the policy says no to the address by now', async () => {
  const { get } = await serving((n, _head, socket) => {
    if (n === 1) return EMPTY;
    socket.destroy();
    return '';
  });
  await get();
  await expect(get({}, { decideDial: () => DENY })).rejects.toMatchObject({
    code: 'DIAL_REFUSED',
    cause: DENY,
  });
});

const once: [name: string, options: () => RequestOptions][] = [
  ['a POST', () => ({ method: 'POST', body: Buffer.from('x') })],
  ['a PATCH', () => ({ method: 'PATCH', body: Buffer.from('x') })],
  [
    'a PUT whose body is a stream',
    () => ({ method: 'PUT', body: Readable.from([Buffer.from('x')]), framing: { kind: 'length', bytes: 1 } }),
  ],
];

for (const [name, options] of once) {
  test(`${name} is not sent twice`, async () => {
    let heads = 0;
    const { get } = await serving((n, _head, socket) => {
      heads++;
      if (n === 1) return EMPTY;
      socket.destroy();
      return '';
    });
    await get();
    await expect(get(options())).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
    expect(heads).toBe(2);
  });
}

test('a request whose answer has begun is not sent twice', async () => {
  const { server, get } = await serving((n, _head, socket) => {
    if (n === 1) return EMPTY;
    socket.write('HTTP/1.1 200', () => socket.destroy());
    return '';
  });
  await get();
  await expect(get()).rejects.toMatchObject({ name: 'GatewayError' });
  expect(server.seen.connections).toBe(1);
});

test('a new connection that dies is not tried again', async () => {
  const { server, get } = await serving((_n, _head, socket) => {
    socket.destroy();
    return '';
  });
  await expect(get()).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
  expect(server.seen.connections).toBe(1);
});

test('an upstream that speaks unasked loses its connection', async () => {
  const { server, get } = await serving((_n, _head, socket) => {
    setTimeout(
      () => socket.writable && socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!'),
      10,
    );
    return EMPTY;
  });
  await get();
  await new Promise(resolve => setTimeout(resolve, 60));
  expect((await get()).head.status).toBe(204);
  expect(server.seen.connections).toBe(2);
});

test('a request that came by HTTP/2 goes to an HTTP/1.1 upstream as well, many at once', async () => {
  const { get } = await serving(
    (_n, head) => `HTTP/1.1 200 OK\r\nContent-Length: ${head.length}\r\n\r\n${head}`,
  );
  const answers = await Promise.all([1, 2, 3, 4].map(n => get({ version: '2', path: `/${n}` })));
  expect(answers.map(({ protocol }) => protocol)).toEqual(Array(4).fill('http/1.1'));
  const heads = await Promise.all(answers.map(({ body }) => bytesOf(body)));
  expect(heads.map(head => head.toString().split('\r\n')[0])).toEqual(
    [1, 2, 3, 4].map(n => `GET /${n} HTTP/1.1`),
  );
});

test('plain HTTP goes without TLS, to the port of the authority', async () => {
  const server = keep(await rawServer(socket => socket.once('data', () => socket.end(EMPTY))));
  const { dial, dialled } = diallerTo(server.port);
  const upstream = keep(upstreamTo(server.port, ca.rootPem, { dialler: dial }));
  const authority = authorityOf('api.test:8080', 'http');
  const answer = await upstream.send(requestOf(outboundOf({ authority, version: '1.1' })), NEVER);
  expect(answer).toMatchObject({ head: { status: 204 }, dialled: { port: 8080 } });
  expect(dialled).toEqual(['203.0.113.7:8080']);
});

test('nothing is dialled when one of the addresses is denied', async () => {
  const { dial, dialled } = diallerTo(1);
  const upstream = keep(
    createUpstream({
      resolver: resolverOf({ 'api.test': ['203.0.113.1', '10.0.0.1'] }),
      trust: trustRoots([]),
      dialler: dial,
    }),
  );
  const decideDial: UpstreamRequest['decideDial'] = (_host, { address }) =>
    address.text === '10.0.0.1' ? DENY : ALLOW;
  const sent = upstream.send(requestOf(outboundOf(), { decideDial }), NEVER);
  await expect(sent).rejects.toMatchObject({ code: 'DIAL_REFUSED', cause: DENY });
  expect(dialled).toEqual([]);
});

test('a pin is dialled in place of the resolver’s answer, and the certificate is still the name’s', async () => {
  const { server } = await serving();
  const { dial, dialled } = diallerTo(server.port);
  const resolver = resolverOf({});
  const upstream = keep(createUpstream({ resolver, trust: trustRoots([ca.rootPem]), dialler: dial }));
  const pin = { address: ip('127.0.0.1'), port: 9443 };
  const answer = await upstream.send(requestOf(outboundOf({ version: '1.1' }), { pin }), NEVER);
  expect(answer.head.status).toBe(204);
  expect(dialled).toEqual(['127.0.0.1:9443']);
  expect(server.seen.names).toEqual(['api.test']);
  const other = outboundOf({ version: '1.1', authority: authorityOf('other.test') });
  await expect(upstream.send(requestOf(other, { pin }), NEVER)).rejects.toMatchObject({
    code: 'UPSTREAM_UNTRUSTED',
  });
  expect(resolver.asked).toEqual([]);
});

test('a request for another authority than was decided on is a bug, and is not sent', async () => {
  const { server, upstream } = await serving();
  const request = { ...requestOf(outboundOf({ version: '1.1' })), authority: authorityOf('other.test') };
  await expect(upstream.send(request, NEVER)).rejects.toThrow('decided on');
  expect(server.seen.connections).toBe(0);
});

test('a sandbox that ends takes its connections along, and no other’s', async () => {
  const { server, upstream, get } = await serving();
  await get();
  await get({}, { sandbox: 'b' });
  upstream.closeSandbox('a');
  await get({}, { sandbox: 'b' });
  expect(server.seen.connections).toBe(2);
  await get();
  expect(server.seen.connections).toBe(3);
});

test('no request leaves a listener with the signal that it has waited on', async () => {
  const { get, upstream } = await serving();
  for (let i = 0; i < 20; i++) await get();
  await get({ version: '2' });
  await upstream.send(requestOf(outboundOf({ authority: authorityOf('other.test') })), NEVER).catch(() => {});
  await new Promise(resolve => setImmediate(resolve));
  expect(getEventListeners(NEVER, 'abort')).toHaveLength(0);
});

interface Redirect {
  readonly id: string;
  readonly category: string;
  readonly upstream_raw_b64: string;
}

const { cases } = JSON.parse(readFileSync('test/corpus/responses.json', 'utf8')) as {
  cases: readonly Redirect[];
};
for (const { id, upstream_raw_b64 } of cases.filter(({ category }) => category === 'redirect')) {
  test(`${id}: a redirect is an answer, and nobody follows it`, async () => {
    const raw = Buffer.from(upstream_raw_b64, 'base64').toString('latin1');
    const { server } = await serving(() => raw);
    const { dial, dialled } = diallerTo(server.port);
    const upstream = keep(upstreamTo(server.port, ca.rootPem, { dialler: dial }));
    const answer = await upstream.send(requestOf(outboundOf({ version: '1.1' })), NEVER);
    await bytesOf(answer.body);
    expect(answer.head.status).toBe(Number(raw.slice(9, 12)));
    const location = /^Location: (.*?)\r?$/im.exec(raw)?.[1];
    expect(answer.head.headers).toContainEqual(['Location', location]);
    expect(dialled).toEqual(['203.0.113.7:443']);
  });
}

describe('openTunnel', () => {
  const tunnel = {
    sandbox: 'a',
    host: authorityOf('db.test').host,
    port: 5432,
    decideDial: () => ALLOW,
    pin: null,
  };

  test('gives raw bytes both ways, by a decided address, and keeps half-closed connections', async () => {
    const server = keep(
      await rawServer(socket => {
        socket.write('hello');
        socket.on('data', () => {}).on('end', () => socket.end('after your end'));
      }),
    );
    const { dial, dialled } = diallerTo(server.port);
    const upstream = keep(upstreamTo(server.port, ca.rootPem, { dialler: dial }));
    const { socket, dialled: endpoint } = await upstream.openTunnel(tunnel, NEVER);
    socket.end('bye');
    expect((await bytesOf(socket)).toString()).toBe('helloafter your end');
    expect(endpoint.port).toBe(5432);
    expect(dialled).toEqual(['203.0.113.7:5432']);
  });

  test('is refused with the verdict as the cause', async () => {
    const upstream = keep(upstreamTo(1, ca.rootPem));
    const opening = upstream.openTunnel({ ...tunnel, decideDial: () => DENY }, NEVER);
    await expect(opening).rejects.toMatchObject({ code: 'DIAL_REFUSED', cause: DENY });
  });

  test('fails where nobody listens', async () => {
    const upstream = keep(upstreamTo(await closedPort(), ca.rootPem));
    await expect(upstream.openTunnel(tunnel, NEVER)).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
  });

  test('ends when the caller leaves or the door closes, and leaves no socket', async () => {
    const sockets: net.Socket[] = [];
    const dialler = (): net.Socket => {
      const socket = new net.Socket();
      sockets.push(socket);
      return socket;
    };
    const upstream = upstreamTo(1, ca.rootPem, { dialler });
    const leaving = new AbortController();
    const left = upstream.openTunnel(tunnel, leaving.signal);
    const closed = upstream.openTunnel(tunnel, NEVER);
    const sent = upstream.send(requestOf(outboundOf()), NEVER);
    await new Promise(resolve => setTimeout(resolve, 10));
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
    upstream.close();
    await expect(closed).rejects.toMatchObject({ code: 'GATEWAY_CLOSED' });
    await expect(sent).rejects.toMatchObject({ code: 'GATEWAY_CLOSED' });
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, true]);
    await expect(upstream.openTunnel(tunnel, NEVER)).rejects.toMatchObject({ code: 'GATEWAY_CLOSED' });
  });
});
