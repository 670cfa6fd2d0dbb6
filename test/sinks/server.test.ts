import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { systemClock } from '../../src/core/clock.js';
import { createBus } from '../../src/events/bus.js';
import { encodeEvent } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { type EventServer, type EventServerOptions, openEventServer } from '../../src/sinks/server.js';
import { Place } from '../events/spool/support.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

const TOKEN = 'the-token-of-the-reader';
let folder: string;
let server: EventServer | null = null;
const sockets: WebSocket[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-server-'));
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await server?.close();
  server = null;
  await rm(folder, { recursive: true });
});

const path = () => join(folder, 'events.sock');
const allow = (seq: number): Event => numbered(allowedBody(), seq);

async function open(differs: Partial<EventServerOptions> = {}): Promise<EventServer> {
  server = await openEventServer({
    name: 'server-1',
    listen: { kind: 'unix', path: path() },
    token: null,
    filter: null,
    encode: encodeEvent,
    ring: { events: 100, bytes: 1e8 },
    readers: 4,
    stallMs: 60_000,
    beatMs: 60_000,
    ...differs,
  });
  return server;
}

const onPort = { listen: { kind: 'tcp', address: '127.0.0.1', port: 0 }, token: TOKEN } as const;

interface Get {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
}

function get({
  path: target = '/events',
  method = 'GET',
  headers = {},
}: Get = {}): Promise<http.IncomingMessage> {
  const port = server?.listensOn[0]?.port;
  const where = port === undefined ? { socketPath: path() } : { host: '127.0.0.1', port };
  return new Promise((resolve, reject) => {
    http
      .request({ ...where, path: target, method, headers, agent: false }, resolve)
      .on('error', reject)
      .end();
  });
}

/** The messages of a stream of Server-Sent Events, as its fields. */
async function* messages(response: http.IncomingMessage): AsyncGenerator<Record<string, string>> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      yield Object.fromEntries(
        lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
    }
  }
}

async function take(response: http.IncomingMessage, many: number): Promise<Record<string, string>[]> {
  const taken: Record<string, string>[] = [];
  for await (const message of messages(response)) {
    if (!('' in message)) taken.push(message);
    if (taken.length === many) break;
  }
  return taken;
}

test('a reader of Server-Sent Events gets what comes, each with its id and the line of the log', async () => {
  const { write } = bound(await open());
  const response = await get();
  expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  write([allow(1), numbered(refusedBody(), 2)]);
  const got = await take(response, 2);
  expect(got.map(({ id }) => id)).toEqual(['g1-1', 'g1-2']);
  expect(got.map(({ data = '' }) => `${data}\n`)).toEqual(
    [allow(1), numbered(refusedBody(), 2)].map(encodeEvent),
  );
});

function bound(one: EventServer): { write: (events: readonly Event[]) => void } {
  return { write: events => one.write(events) };
}

test('a reader that comes back goes on after its last event, by header or by query', async () => {
  const { write } = bound(await open());
  write([1, 2, 3, 4].map(allow));
  const byHeader = await take(await get({ headers: { 'last-event-id': 'g1-2' } }), 2);
  expect(byHeader.map(({ id }) => id)).toEqual(['g1-3', 'g1-4']);
  const byQuery = await take(await get({ path: '/events?from=g1-3' }), 1);
  expect(byQuery.map(({ id }) => id)).toEqual(['g1-4']);
});

test('a reader whose place is not held any more is told of the gap', async () => {
  const { write } = bound(await open({ ring: { events: 2, bytes: 1e8 } }));
  write([1, 2, 3, 4, 5].map(allow));
  const got = await take(await get({ headers: { 'last-event-id': 'g1-1' } }), 3);
  expect(got[0]).toEqual({ event: 'gap', data: '{"after":1,"next":4}' });
  expect(got.slice(1).map(({ id }) => id)).toEqual(['g1-4', 'g1-5']);
});

test('a reader has its own filter, and the sink another', async () => {
  const { write } = bound(await open({ filter: ({ seq }) => seq !== 2 }));
  write([1, 2, 3, 4].map(allow));
  const filter = encodeURIComponent('event.seq != 3');
  const got = await take(await get({ path: `/events?from=start&filter=${filter}` }), 2);
  expect(got.map(({ id }) => id)).toEqual(['g1-1', 'g1-4']);
});

test('a WebSocket has the same events, one a message, and the same cursor', async () => {
  const { write } = bound(await open(onPort));
  write([1, 2, 3].map(allow));
  const port = server?.listensOn[0]?.port;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/events?from=g1-1`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  sockets.push(socket);
  const got: string[] = [];
  socket.on('message', data => got.push(String(data)));
  await once(socket, 'open');
  while (got.length < 2) await once(socket, 'message');
  expect(got.map(text => `${text}\n`)).toEqual([allow(2), allow(3)].map(encodeEvent));
  // A reader has nothing to say.
  socket.send('hello');
  const [code] = await once(socket, 'close');
  expect(code).toBe(1008);
});

test('a WebSocket without the token is refused before the upgrade', async () => {
  await open(onPort);
  const socket = new WebSocket(`ws://127.0.0.1:${server?.listensOn[0]?.port}/events`);
  sockets.push(socket);
  const [error] = await once(socket, 'error');
  expect(String(error)).toContain('401');
});

const refusals: readonly (readonly [string, Get, number])[] = [
  ['no token', {}, 401],
  ['another token', { headers: { authorization: `Bearer ${TOKEN}x` } }, 401],
  ['a token that is not a bearer’s', { headers: { authorization: `Basic ${TOKEN}` } }, 401],
  [
    'a Host that was made to lead here',
    { headers: { host: 'evil.test', authorization: `Bearer ${TOKEN}` } },
    403,
  ],
  ['an Origin', { headers: { origin: 'https://evil.test', authorization: `Bearer ${TOKEN}` } }, 403],
  ['a browser', { headers: { 'sec-fetch-site': 'same-origin', authorization: `Bearer ${TOKEN}` } }, 403],
  ['POST', { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } }, 405],
  [
    'OPTIONS, as before a request across origins',
    { method: 'OPTIONS', headers: { origin: 'https://a.test' } },
    405,
  ],
  ['another path', { path: '/', headers: { authorization: `Bearer ${TOKEN}` } }, 404],
  [
    'a filter that cannot be read',
    { path: '/events?filter=x', headers: { authorization: `Bearer ${TOKEN}` } },
    400,
  ],
];

test.each(refusals)(
  '%s is refused, and nothing is allowed across origins',
  async (_name, request, status) => {
    await open(onPort);
    const response = await get(request);
    response.resume();
    expect(response.statusCode).toBe(status);
    expect(Object.keys(response.headers).filter(name => name.startsWith('access-control'))).toEqual([]);
    expect(server?.readers).toBe(0);
  },
);

test('localhost with the right port is this server', async () => {
  await open(onPort);
  const port = server?.listensOn[0]?.port;
  const response = await get({ headers: { host: `localhost:${port}`, authorization: `Bearer ${TOKEN}` } });
  expect(response.statusCode).toBe(200);
  response.destroy();
});

test('the socket is 0600, a stale one is replaced, one in use is not, and it goes when the server closes', async () => {
  const stale = net.createServer().listen(path());
  await once(stale, 'listening');
  await expect(open()).rejects.toThrow(/is in use by another process/);
  await new Promise(resolve => stale.close(resolve));
  const crashed = net.createServer().listen(path());
  await once(crashed, 'listening');
  // As after a crash: the file stays, nobody listens.
  const { renameSync } = await import('node:fs');
  renameSync(path(), `${path()}.kept`);
  await new Promise(resolve => crashed.close(resolve));
  renameSync(`${path()}.kept`, path());
  await open();
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  await server?.close();
  expect(existsSync(path())).toBe(false);
  server = null;
});

test('a file in the place of the socket is left alone', async () => {
  writeFileSync(path(), 'precious');
  await expect(open()).rejects.toThrow(/is there and is no socket/);
  expect(statSync(path()).size).toBe(8);
});

test('a reader that never reads holds nobody up, costs no more than its socket takes, and is cut off', async () => {
  const one = await open({ stallMs: 200, ring: { events: 50, bytes: 1e8 } });
  const never = net.connect(path());
  await once(never, 'connect');
  never.pause();
  never.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
  while (one.readers === 0) await new Promise(resolve => setImmediate(resolve));
  const big = 'x'.repeat(8_000);
  const before = process.memoryUsage().rss;
  // 400 MB of lines, were they held for it.
  for (let seq = 1; seq <= 50_000; seq++)
    one.write([numbered(allowedBody({ url: `https://a.test/${big}` }), seq)]);
  expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(200);
  const response = await get({ path: '/events?from=start' });
  expect(await take(response, 1)).toHaveLength(1);
  response.destroy();
  while (one.readers > 0) await new Promise(resolve => setTimeout(resolve, 20));
  never.destroy();
});

test('a WebSocket that never reads is cut off too', async () => {
  const one = await open({ ...onPort, stallMs: 200, ring: { events: 50, bytes: 1e8 } });
  const socket = new WebSocket(`ws://127.0.0.1:${one.listensOn[0]?.port}/events`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  sockets.push(socket);
  await once(socket, 'open');
  socket.pause();
  const big = 'x'.repeat(8_000);
  for (let seq = 1; one.readers > 0; seq++) {
    one.write([numbered(allowedBody({ url: `https://a.test/${big}` }), seq)]);
    await new Promise(resolve => setImmediate(resolve));
  }
  expect(one.readers).toBe(0);
});

test('a reader that is slow gets every event that is held, or the gap, and never the same one twice', async () => {
  const one = await open({ ring: { events: 500, bytes: 1e8 } });
  const response = await get();
  const reading = (async () => {
    const seqs: number[] = [];
    for await (const message of messages(response)) {
      if (message.event === 'gap') seqs.push(-JSON.parse(message.data ?? '').next);
      else if (message.id) seqs.push(Number(message.id.slice(3)));
      if (seqs.at(-1) === 3_000) return seqs;
    }
    return seqs;
  })();
  const big = 'x'.repeat(4_000);
  for (let seq = 1; seq <= 3_000; seq++) {
    one.write([numbered(allowedBody({ url: `https://a.test/${big}` }), seq)]);
    if (seq % 300 === 0) await new Promise(resolve => setImmediate(resolve));
  }
  const seqs = await reading;
  let next = 1;
  for (const seq of seqs) {
    if (seq < 0) {
      expect(-seq).toBeGreaterThan(next);
      next = -seq;
    } else {
      expect(seq).toBe(next);
      next += 1;
    }
  }
});

test('beyond so many readers the next is refused, and those that are there stay', async () => {
  const one = await open({ readers: 2 });
  const first = [await get(), await get()];
  const third = await get();
  expect(third.statusCode).toBe(503);
  third.resume();
  one.write([allow(1)]);
  for (const response of first) expect(await take(response, 1)).toHaveLength(1);
});

test('signs of life come while nothing happens', async () => {
  await open({ beatMs: 20 });
  const response = await get();
  const [chunk] = await once(response, 'data');
  expect(String(chunk)).toBe(':\n\n');
  response.destroy();
});

describe('with a spool', () => {
  let place: Place;

  beforeEach(async () => {
    place = await Place.make();
    await place.run('old', 1, 40);
  });

  afterEach(() => place.remove());

  /** A gateway's bus whose events are kept, and of which the server holds only the last two. */
  async function kept() {
    const one = await open({ ring: { events: 2, bytes: 1e8 } });
    const bus = createBus({ gatewayId: 'new', clock: systemClock, sinks: [one], store: await place.open() });
    const emit = (many: number): void => {
      for (let i = 0; i < many; i++) bus.emit(allowedBody());
    };
    return { bus, emit };
  }

  const range = (gateway: string, from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => `${gateway}-${from + i}`);

  test('a reader goes on after an event of an earlier run, and then with what comes', async () => {
    const { bus, emit } = await kept();
    emit(20);
    const response = await get({ headers: { 'last-event-id': 'old-35' } });
    const reading = take(response, 35);
    await new Promise(resolve => setTimeout(resolve, 20));
    emit(10);
    expect((await reading).map(({ id }) => id)).toEqual([...range('old', 36, 40), ...range('new', 1, 30)]);
    response.destroy();
    await bus.close();
    server = null;
  });

  test('a reader that asks for what the ring let go, or for the start, has all of it, by its filter', async () => {
    const { bus, emit } = await kept();
    emit(20);
    const late = await take(await get({ path: '/events?from=new-3' }), 17);
    expect(late.map(({ id }) => id)).toEqual(range('new', 4, 20));
    const filter = encodeURIComponent('event.seq % 20 == 0');
    const some = await take(await get({ path: `/events?from=start&filter=${filter}` }), 3);
    expect(some.map(({ id }) => id)).toEqual(['old-20', 'old-40', 'new-20']);
    await bus.close();
    server = null;
  });

  test('a reader whose place nobody knows is told of the gap, and gets what there is', async () => {
    const { bus } = await kept();
    const got = await take(await get({ headers: { 'last-event-id': 'unknown-7' } }), 3);
    expect(got[0]).toEqual({ event: 'gap', data: '{"after":7,"next":1}' });
    expect(got.slice(1).map(({ id }) => id)).toEqual(['old-1', 'old-2']);
    await bus.close();
    server = null;
  });

  test('a reader of the past that never reads is cut off, and the gateway closes', async () => {
    const one = await open({ stallMs: 100 });
    const bus = createBus({ gatewayId: 'new', clock: systemClock, sinks: [one], store: await place.open() });
    const url = `https://a.test/${'x'.repeat(8_000)}`;
    for (let i = 0; i < 2_000; i++) bus.emit(allowedBody({ url }));
    const never = net.connect(path());
    await once(never, 'connect');
    never.pause();
    never.write('GET /events?from=start HTTP/1.1\r\nHost: x\r\n\r\n');
    while (one.readers === 0) await new Promise(resolve => setImmediate(resolve));
    while (one.readers > 0) await new Promise(resolve => setTimeout(resolve, 20));
    never.destroy();
    await bus.close();
    server = null;
  });
});
