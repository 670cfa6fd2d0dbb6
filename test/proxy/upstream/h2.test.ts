import http2 from 'node:http2';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { HeaderList } from '../../../src/core/headers.js';
import type { UpstreamAnswer } from '../../../src/proxy/exchange.js';
import type { Upstream, UpstreamOptions } from '../../../src/proxy/upstream/upstream.js';
import { type H2ServerOptions, makeTestCa, startH2Server, type TestServer } from '../../support/tls.js';
import { bytesOf, NEVER, outboundOf, type RequestOptions, requestOf, upstreamTo } from './support.js';

const ca = makeTestCa();
const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

type OnStream = H2ServerOptions['onStream'];
type Server = {
  upstream: Upstream;
  server: TestServer;
  send: (options?: RequestOptions, signal?: AbortSignal) => Promise<UpstreamAnswer>;
};

let open: Server[] = [];
afterEach(async () => {
  for (const { upstream, server } of open) {
    upstream.close();
    await server.close();
  }
  open = [];
});

async function serving(
  onStream: OnStream,
  over: Partial<H2ServerOptions> = {},
  options: Partial<UpstreamOptions> = {},
): Promise<Server> {
  const server = await startH2Server({ ca, names: ['api.test'], onStream, ...over });
  const upstream = upstreamTo(server.port, ca.rootPem, options);
  const send: Server['send'] = (request = {}, signal = NEVER) =>
    upstream.send(requestOf(outboundOf(request)), signal);
  const one = { upstream, server, send };
  open.push(one);
  return one;
}

const echo: OnStream = stream => {
  stream.on('error', () => {});
  stream.respond({ ':status': 200 });
  stream.pipe(stream);
};

test('a request and its answer cross an h2 connection as they are', async () => {
  let seen: string[] = [];
  const { send } = await serving((stream, _headers, _flags, raw) => {
    seen = raw;
    stream.respond({ ':status': 200, 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'] });
    stream.end('hello');
  });
  const answer = await send({
    path: '/a?b=c',
    headers: [
      ['accept', '*/*'],
      ['x-dup', '1'],
      ['x-dup', '2'],
    ],
  });
  expect(answer).toMatchObject({
    protocol: 'h2',
    upgraded: null,
    head: { status: 200, reason: '', version: '2' },
  });
  expect(answer.dialled.address.text).toBe('203.0.113.7');
  expect(answer.head.headers.filter(([name]) => name === 'set-cookie')).toEqual([
    ['set-cookie', 'a=1'],
    ['set-cookie', 'b=2'],
  ]);
  expect((await bytesOf(answer.body)).toString()).toBe('hello');
  expect(seen).toEqual([
    ':method',
    'GET',
    ':scheme',
    'https',
    ':authority',
    'api.test',
    ':path',
    '/a?b=c',
    'accept',
    '*/*',
    'x-dup',
    '1',
    'x-dup',
    '2',
  ]);
  expect(answer.bytes.received).toBeGreaterThan(5);
  expect(answer.bytes.sent).toBeGreaterThan(5);
});

test('requests at the same time share one connection, and come back on it later', async () => {
  const { send, server } = await serving(echo);
  const bodies = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const answer = await send({ method: 'POST', body: Buffer.from(`n${i}`) });
      return (await bytesOf(answer.body)).toString();
    }),
  );
  expect(bodies).toEqual(Array.from({ length: 40 }, (_, i) => `n${i}`));
  await bytesOf((await send({ method: 'POST', body: Buffer.from('later') })).body);
  expect(server.seen.connections).toBe(1);
});

test('a second connection is made when the peer allows no more streams', async () => {
  const { send, server } = await serving(echo, { settings: { maxConcurrentStreams: 2 } });
  // The first answer tells the peer's settings.
  await bytesOf((await send({ method: 'POST', body: Buffer.from('x') })).body);
  const held = await Promise.all(
    [1, 2, 3].map(() =>
      send({ method: 'POST', body: new Readable({ read() {} }), framing: { kind: 'chunked' } }),
    ),
  );
  expect(server.seen.connections).toBe(2);
  for (const { body } of held) (body as Readable).destroy();
});

test('a peer whose HPACK table has no room reads our requests', async () => {
  const { send, server } = await serving(echo, { settings: { headerTableSize: 0 } });
  for (const text of ['one', 'two']) {
    const answer = await send({ method: 'POST', body: Buffer.from(text) });
    expect((await bytesOf(answer.body)).toString()).toBe(text);
    // The peer's settings are in force from its next read on.
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  expect(server.seen.connections).toBe(1);
});

test('trailers cross both ways', async () => {
  let seen: http2.IncomingHttpHeaders = {};
  const { send } = await serving(stream => {
    stream.on('trailers', trailers => {
      seen = trailers;
    });
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }));
    stream.resume().on('end', () => stream.end('x'));
  });
  const sent: HeaderList = [['x-sum', 'abc']];
  const answer = await send({
    method: 'POST',
    framing: { kind: 'chunked' },
    wantsTrailers: true,
    body: Readable.from([Buffer.from('a'), Buffer.from('b')]),
    trailers: () => sent,
  });
  await bytesOf(answer.body);
  expect(answer.trailers()).toEqual([
    ['grpc-status', '0'],
    ['grpc-message', 'fine'],
  ]);
  expect(seen).toMatchObject({ 'x-sum': 'abc' });
});

test('a trailers-only answer has no content, and its fields are its head', async () => {
  const { send } = await serving(stream => {
    stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true });
  });
  const answer = await send({ method: 'POST', body: Buffer.from('x') });
  expect(answer.body).toEqual(new Uint8Array(0));
  expect(answer.head.headers).toContainEqual(['grpc-status', '12']);
});

test('trailers of a body that is whole are sent', async () => {
  const { send } = await serving(stream => {
    stream.on('trailers', trailers => {
      stream.respond({ ':status': 200, 'x-seen': String(trailers['x-sum']) }, { endStream: true });
    });
    stream.resume();
  });
  const answer = await send({ method: 'POST', body: Buffer.from('x'), trailers: () => [['x-sum', 'abc']] });
  expect(answer.head.headers).toContainEqual(['x-seen', 'abc']);
});

test('fields that carry a secret are never indexed, and others are', async () => {
  let sensitive: readonly string[] = [];
  const { send } = await serving((stream, headers) => {
    sensitive = (headers as unknown as Record<symbol, string[]>)[http2.sensitiveHeaders] ?? [];
    stream.respond({ ':status': 204 }, { endStream: true });
  });
  await send({
    headers: [
      ['x-token', 'secret'],
      ['x-other', 'plain'],
    ],
    sensitive: new Set(['x-token']),
  });
  expect(sensitive).toEqual(['x-token']);
});

test('interim answers are told, 100 is not, and too many are a flood', async () => {
  const told: number[] = [];
  const { send } = await serving((stream, headers) => {
    stream.additionalHeaders({ ':status': 100 });
    const count = headers[':path'] === '/flood' ? 30 : 2;
    for (let i = 0; i < count; i++) stream.additionalHeaders({ ':status': 103, link: '</a>' });
    stream.on('error', () => {});
    stream.respond({ ':status': 200 }, { endStream: true });
  });
  const inform = (status: number): void => void told.push(status);
  expect((await send({ inform })).head.status).toBe(200);
  expect(told).toEqual([103, 103]);
  await expect(send({ path: '/flood', inform })).rejects.toMatchObject({ code: 'UPSTREAM_PROTOCOL' });
});

test('a redirect comes back and is not followed', async () => {
  const { send, server } = await serving(stream => {
    stream.respond({ ':status': 302, location: 'https://127.0.0.1/' }, { endStream: true });
  });
  const answer = await send();
  expect(answer.head).toMatchObject({
    status: 302,
    headers: expect.arrayContaining([['location', 'https://127.0.0.1/']]),
  });
  expect(server.seen.connections).toBe(1);
});

for (const [name, options] of [
  ['HEAD', { method: 'HEAD' }],
  ['a 304', { path: '/304' }],
  ['a 204', { path: '/204' }],
] as const) {
  test(`the answer to ${name} has no content and leaves the connection usable`, async () => {
    const { send, server } = await serving((stream, headers) => {
      const status = Number(headers[':path']?.slice(1)) || 200;
      stream.respond(
        { ':status': status, ...(status !== 204 && { 'content-length': 12 }) },
        { endStream: true },
      );
    });
    for (let i = 0; i < 3; i++) {
      const answer = await send(options);
      expect(answer.body).toEqual(new Uint8Array(0));
      expect(answer.head.framing).toEqual(
        name === 'a 204' ? { kind: 'none' } : { kind: 'length', bytes: 12 },
      );
    }
    expect(server.seen.connections).toBe(1);
  });
}

test('an answer is truncated, not whole, when the upstream drops the connection in the middle', async () => {
  const { send, server } = await serving(stream => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.write('half', () => setTimeout(() => server.drop(), 20));
  });
  const answer = await send();
  await expect(bytesOf(answer.body)).rejects.toMatchObject({ code: 'UPSTREAM_TRUNCATED' });
});

const lengths: [name: string, announced: number, sent: string][] = [
  ['fewer', 10, 'abc'],
  ['more', 2, 'abc'],
];

for (const [name, announced, sent] of lengths) {
  test(`an answer with ${name} bytes than it announced is an error`, async () => {
    const { send } = await serving(stream => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200, 'content-length': announced });
      stream.end(sent);
    });
    const got = send().then(answer => bytesOf(answer.body));
    await expect(got).rejects.toMatchObject({ code: expect.stringMatching(/UPSTREAM_(TRUNCATED|PROTOCOL)/) });
  });
}

const refusals: [
  name: string,
  refuse: (stream: http2.ServerHttp2Stream, server: TestServer) => void,
  code: string,
][] = [
  ['resets the stream', stream => stream.close(NGHTTP2_INTERNAL_ERROR), 'UPSTREAM_PROTOCOL'],
  ['refuses the stream every time', stream => stream.close(NGHTTP2_REFUSED_STREAM), 'UPSTREAM_UNREACHABLE'],
  ['drops the connection', (_stream, server) => server.drop(), 'UPSTREAM_UNREACHABLE'],
  [
    'answers with a 407',
    stream => stream.respond({ ':status': 407 }, { endStream: true }),
    'UPSTREAM_PROTOCOL',
  ],
];

for (const [name, refuse, code] of refusals) {
  test(`a request fails with ${code} when the upstream ${name}`, async () => {
    const { send, server } = await serving(stream => {
      stream.on('error', () => {});
      refuse(stream, server);
    });
    await expect(send({ method: 'POST', body: Buffer.from('x') })).rejects.toMatchObject({ code });
  });
}

test('a request that the upstream refused to begin is sent once more, on a new connection', async () => {
  let count = 0;
  const { send, server } = await serving(stream => {
    stream.on('error', () => {});
    count++;
    if (count === 1) stream.close(NGHTTP2_REFUSED_STREAM);
    else stream.respond({ ':status': 204 }, { endStream: true });
  });
  expect((await send({ method: 'POST', body: Buffer.from('x') })).head.status).toBe(204);
  expect(count).toBe(2);
  expect(server.seen.connections).toBe(2);
});

test('a body that is a stream is never sent twice', async () => {
  let count = 0;
  const { send } = await serving(stream => {
    stream.on('error', () => {});
    count++;
    stream.close(NGHTTP2_REFUSED_STREAM);
  });
  const body = Readable.from([Buffer.from('x')]);
  await expect(send({ method: 'PUT', body, framing: { kind: 'chunked' } })).rejects.toMatchObject({
    code: 'UPSTREAM_UNREACHABLE',
  });
  expect(count).toBe(1);
});

test('an upstream that goes away finishes what it has, and gets no new request', async () => {
  const { send, server } = await serving((stream, headers) => {
    if (headers[':path'] !== '/slow') return void stream.respond({ ':status': 204 }, { endStream: true });
    stream.respond({ ':status': 200 });
    stream.write('a');
    stream.session?.goaway(NGHTTP2_NO_ERROR, stream.id);
    setTimeout(() => stream.end('b'), 50);
  });
  const slow = await send({ path: '/slow' });
  const whole = bytesOf(slow.body);
  await new Promise(resolve => setTimeout(resolve, 20));
  expect((await send()).head.status).toBe(204);
  expect((await whole).toString()).toBe('ab');
  expect(server.seen.connections).toBe(2);
});

test('an early answer arrives, and the rest of the request is not sent', async () => {
  let received = 0;
  const { send } = await serving(stream => {
    stream.on('error', () => {});
    stream.on('data', chunk => {
      received += chunk.length;
    });
    stream.respond({ ':status': 413 });
    stream.end('no');
  });
  const body = new Readable({ read() {} });
  body.push(Buffer.alloc(10));
  const answer = await send({ method: 'POST', body, framing: { kind: 'chunked' } });
  expect((await bytesOf(answer.body)).toString()).toBe('no');
  body.push(Buffer.alloc(1000));
  await new Promise(resolve => setTimeout(resolve, 30));
  expect(received).toBeLessThanOrEqual(10);
  expect(body.destroyed).toBe(false);
});

test('a request that is cut short resets the stream', async () => {
  const reset = deferred<number | undefined>();
  const { send } = await serving(stream => {
    stream.on('error', () => {});
    stream.once('close', () => reset.resolve(stream.rstCode));
    stream.resume();
  });
  const body = new Readable({ read() {} });
  body.push('half');
  const sent = send({ method: 'POST', body, framing: { kind: 'chunked' } });
  setTimeout(() => body.destroy(new Error('gone')), 50);
  await expect(sent).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
  expect(await reset.promise).toBe(NGHTTP2_CANCEL);
});

test('a sandbox that leaves resets the stream, before and after the head', async () => {
  const codes: number[] = [];
  const { send } = await serving((stream, headers) => {
    stream.on('error', () => {});
    stream.once('close', () => codes.push(stream.rstCode));
    if (headers[':path'] === '/headed') stream.respond({ ':status': 200 });
  });
  const before = new AbortController();
  const waiting = send({}, before.signal);
  setTimeout(() => before.abort(), 30);
  await expect(waiting).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
  const after = new AbortController();
  const answer = await send({ path: '/headed' }, after.signal);
  after.abort();
  await expect(bytesOf(answer.body)).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
  for (let waited = 0; codes.length < 2 && waited < 5_000; waited += 10) await delay(10);
  expect(codes).toEqual([NGHTTP2_CANCEL, NGHTTP2_CANCEL]);
  await expect(send({}, after.signal)).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
});

test('an upstream that does not answer, or stops in the middle, is given up', async () => {
  const { send } = await serving(
    (stream, headers) => {
      stream.on('error', () => {});
      if (headers[':path'] !== '/half') return;
      stream.respond({ ':status': 200 });
      stream.write('half');
    },
    {},
    { times: { headMs: 80, idleMs: 80 } },
  );
  await expect(send()).rejects.toMatchObject({ code: 'UPSTREAM_TIMEOUT' });
  const answer = await send({ path: '/half' });
  await expect(bytesOf(answer.body)).rejects.toMatchObject({ code: 'UPSTREAM_TIMEOUT' });
});

test('a sandbox that does not read is no reason to give the upstream up, and holds it back', async () => {
  let written = 0;
  const { send } = await serving(
    stream => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
      const piece = Buffer.alloc(65_536);
      const source = new Readable({
        read() {
          written += piece.length;
          this.push(written > 32 << 20 ? null : piece);
        },
      });
      source.pipe(stream);
    },
    {},
    { times: { idleMs: 60 } },
  );
  const answer = await send();
  await new Promise(resolve => setTimeout(resolve, 300));
  expect(written).toBeLessThan(4 << 20);
  expect((await bytesOf(answer.body)).length).toBe(32 << 20);
});

test('an upstream that does not read holds the sandbox back', async () => {
  const { send } = await serving(stream => {
    stream.on('error', () => {});
    setTimeout(() => stream.resume(), 200);
    stream.on('end', () => stream.respond({ ':status': 204 }, { endStream: true }));
  });
  let made = 0;
  let madeEarly = 0;
  const piece = Buffer.alloc(65_536);
  const body = new Readable({
    read() {
      made += piece.length;
      this.push(made > 16 << 20 ? null : piece);
    },
  });
  setTimeout(() => {
    madeEarly = made;
  }, 150);
  const answer = await send({ method: 'POST', body, framing: { kind: 'chunked' } });
  expect(answer.head.status).toBe(204);
  expect(madeEarly).toBeLessThan(4 << 20);
});

test('an upstream with endless fields is not believed', async () => {
  const { send } = await serving(stream => {
    stream.on('error', () => {});
    const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`x-${i}`, 'v']));
    stream.respond({ ':status': 200, ...many }, { endStream: true });
  });
  await expect(send()).rejects.toMatchObject({ name: 'GatewayError' });
});

test('a field that HTTP/2 clients send once is refused when it comes twice', async () => {
  const { send } = await serving(echo);
  const headers: HeaderList = [
    ['authorization', 'a'],
    ['authorization', 'b'],
  ];
  await expect(send({ headers })).rejects.toMatchObject({ code: 'CLIENT_PROTOCOL' });
});

test('closing the door ends what is on its way and refuses what comes', async () => {
  const { send, upstream } = await serving(stream => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.write('half');
  });
  const answer = await send();
  const rest = bytesOf(answer.body);
  upstream.close();
  await expect(rest).rejects.toMatchObject({ name: 'GatewayError' });
  await expect(send()).rejects.toMatchObject({ code: 'GATEWAY_CLOSED' });
});

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>(settle => {
    resolve = settle;
  });
  return { promise, resolve };
}
