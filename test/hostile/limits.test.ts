import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { emitFrame, TYPE } from '../../src/proxy/http2/frames.js';
import { type Bench, openBench } from '../support/bench.js';
import { GREETING, headersFrame, requestFields } from '../support/h2-frames.js';
import { raw } from '../support/upstream.js';

const FLOW = { host: 'allowed.test', port: 80 };
const SECURE = { host: 'allowed.test', port: 443 };

/** Streams that are opened and reset, until the connection is ended for it (CVE-2023-44487). */
async function flood(bench: Bench): Promise<void> {
  const socket = await bench.connectTls(SECURE, { alpn: ['h2'] });
  const ended = once(socket.resume(), 'end');
  socket.write(GREETING);
  const reset = (id: number): Buffer => emitFrame(TYPE.reset, 0, id, Buffer.of(0, 0, 0, 8));
  const ids = Array.from({ length: 500 }, (_, i) => 2 * i + 1);
  socket.write(Buffer.concat(ids.flatMap(id => [headersFrame(id, requestFields()), reset(id)])));
  await ended;
  socket.destroy();
}

test('who was cut off for a flood waits before it is let in again, and nobody else does', async () => {
  await using bench = await benchWith({});
  await flood(bench);
  const order: string[] = [];
  const enter = async (sandbox: string): Promise<void> => {
    const socket = await bench.connectTls({ ...SECURE, sandbox }, { alpn: ['h2'] });
    order.push(sandbox);
    socket.destroy();
  };
  await Promise.all([enter('bench'), enter('another')]);
  expect(order).toEqual(['another', 'bench']);
  expect(bench.events.some(({ network }) => /too many frames/.test(network?.block_reason ?? ''))).toBe(true);
});

const benchWith = (limits: object): Promise<Bench> =>
  openBench({ policy: { allow_domain: ['allowed.test'], limits } });

async function ask(bench: Bench, text: string, timeoutMs = 4_000) {
  return raw(await bench.connect(FLOW), Buffer.from(text, 'latin1'), { timeoutMs, halfCloseAfterMs: null });
}

const GET = 'GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n';

interface Case {
  readonly limit: string;
  readonly limits: object;
  readonly request: string;
  readonly status: number;
  readonly reason: string;
}

const cases: readonly Case[] = [
  {
    limit: 'max_request_head_bytes',
    limits: { max_request_head_bytes: 1_024 },
    request: `GET / HTTP/1.1\r\nHost: allowed.test\r\nX: ${'x'.repeat(2_000)}\r\n\r\n`,
    status: 431,
    reason: 'head-too-large',
  },
  {
    limit: 'max_request_body_bytes, by length',
    limits: { max_request_body_bytes: 10 },
    request: 'POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 11\r\n\r\n',
    status: 413,
    reason: 'content-too-large',
  },
  {
    limit: 'max_request_body_bytes, chunked',
    limits: { max_request_body_bytes: 10 },
    request:
      'POST / HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n',
    status: 413,
    reason: 'content-too-large',
  },
];

for (const { limit, limits, request, status, reason } of cases) {
  test(`${limit}: what is over it is ${status} and reaches no upstream`, async () => {
    await using bench = await benchWith(limits);
    expect((await ask(bench, GET)).statuses).toEqual([200]);
    bench.clear();
    const { statuses, closed } = await ask(bench, request);
    expect({ statuses, closed, upstream: bench.plain.requests.length }).toEqual({
      statuses: [status],
      closed: true,
      upstream: 0,
    });
    expect(bench.events.map(({ network }) => network?.reason)).toContain(reason);
  });
}

test('requests_per_second: what is over it is 429, a second later, and reaches no upstream', async () => {
  await using bench = await benchWith({ requests_per_second: 5 });
  const start = performance.now();
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask(bench, GET)));
  const statuses = answers.flatMap(answer => answer.statuses).sort();
  expect(statuses).toEqual([...Array(5).fill(200), ...Array(7).fill(429)]);
  expect(bench.plain.requests).toHaveLength(5);
  expect(performance.now() - start).toBeGreaterThan(900);
});

test('max_connections: one flow more is reset, is on record, and a place that is free again is given', async () => {
  await using bench = await benchWith({ max_connections: 3 });
  const open = await Promise.all(Array.from({ length: 3 }, () => bench.connect(FLOW)));
  const fourth = await bench.connect(FLOW);
  fourth.resume();
  await new Promise<void>(resolve => {
    if (fourth.destroyed) resolve();
    else fourth.once('close', () => resolve());
  });
  expect(
    bench.events.filter(({ type }) => type === 'flow.refused').map(({ network }) => network?.rule),
  ).toEqual(['limits.max_connections']);
  for (const socket of open) socket.destroy();
  for (let i = 0; i < 100 && bench.openFlows > 0; i++) await delay(20);
  expect((await ask(bench, GET)).statuses).toEqual([200]);
});

test('idle_ms: content that stops for longer is 408, and the upstream sees no whole request', async () => {
  await using bench = await benchWith({ idle_ms: 200 });
  const head = 'POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 10\r\n\r\nabc';
  const { statuses, closed } = await ask(bench, head, 10_000);
  expect({ statuses, closed }).toEqual({ statuses: [408], closed: true });
  expect(bench.plain.requests.every(({ body }) => body.length < 10)).toBe(true);
  for (let i = 0; i < 100 && !bench.events.some(({ type }) => type === 'request.failed'); i++)
    await delay(20);
  expect(bench.events.find(({ type }) => type === 'request.failed')?.network?.status_code).toBe(408);
});
