import net from 'node:net';
import tls from 'node:tls';
import { readAnswers } from './answers.js';
import { makeTestCa } from './tls.js';
import { raw, startScriptedUpstream, startUpstream, type Upstream } from './upstream.js';

const TWO_REQUESTS = Buffer.from(
  'POST /a HTTP/1.1\r\nHost: u.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n' +
    'GET /b HTTP/1.1\r\nHost: u.test\r\nConnection: close\r\n\r\n',
);

async function using<T>(upstream: Upstream, use: (upstream: Upstream) => Promise<T>): Promise<T> {
  try {
    return await use(upstream);
  } finally {
    await upstream.close();
  }
}

test('a recording upstream remembers method, target, host, body, trailers and connection', async () => {
  await using(await startUpstream(), async upstream => {
    const seen = await raw(net.connect(upstream.port, '127.0.0.1'), TWO_REQUESTS, { pieces: [1, 5, 30] });
    expect(seen).toMatchObject({ statuses: [200, 200], closed: true });
    expect(upstream.requests).toMatchObject([
      { method: 'POST', target: '/a', host: 'u.test', connection: 1, trailers: [['X-T', '1']] },
      { method: 'GET', target: '/b', host: 'u.test', connection: 1 },
    ]);
    expect(upstream.requests[0]?.body.toString()).toBe('hi');
    expect(upstream.bytes.equals(TWO_REQUESTS)).toBe(true);
  });
});

test('a recording upstream does the same inside TLS', async () => {
  const ca = makeTestCa();
  await using(await startUpstream({ tls: { ca, names: ['u.test'] } }), async upstream => {
    const socket = tls.connect({
      port: upstream.port,
      host: '127.0.0.1',
      servername: 'u.test',
      ca: ca.rootPem,
    });
    expect((await raw(socket, TWO_REQUESTS)).statuses).toEqual([200, 200]);
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/a', '/b']);
  });
});

test('a scripted upstream answers one path with chosen bytes, and others with its own', async () => {
  const answer = Buffer.from('HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab');
  const upstream = await startScriptedUpstream();
  upstream.script = { answer, holdMs: null };
  const requests = Buffer.from('GET /case HTTP/1.1\r\nHost: u\r\n\r\nGET / HTTP/1.1\r\nHost: u\r\n\r\n');
  const seen = await raw(net.connect(upstream.port, '127.0.0.1'), requests, { timeoutMs: 100 });
  await upstream.close();
  expect(seen).toMatchObject({ interim: [103], statuses: [200, 200] });
  expect(seen.answers.map(({ body }) => body.toString())).toEqual(['ab', 'own']);
});

test('readAnswers takes an answer to HEAD, chunks and the next answer apart', () => {
  const bytes = Buffer.from(
    'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '3\r\nabc\r\n0\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx',
  );
  expect(readAnswers(bytes).answers.map(({ status, body }) => `${status} ${body}`)).toEqual([
    '200 ',
    '200 abc',
    '403 x',
  ]);
});
