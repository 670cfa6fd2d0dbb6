import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import type { OutboundRequest } from '../../../src/proxy/connection.js';
import { ask, closeWires, codeOf, NEVER, OK, outbound, parts, text, until, wire } from './client-harness.js';
import { bytesOf } from './harness.js';

afterEach(closeWires);

interface Sent {
  readonly name: string;
  readonly request: OutboundRequest;
  readonly want: string;
}

const sent: readonly Sent[] = [
  {
    name: 'Host first, then the fields as they are',
    request: outbound({
      headers: [
        ['b', '1'],
        ['A', ''],
        ['b', '\xff'],
      ],
      path: '/q?x',
    }),
    want: 'GET /q?x HTTP/1.1\r\nHost: a.test\r\nb: 1\r\nA: \r\nb: \xff\r\n\r\n',
  },
  {
    name: 'whole content with its own length, whatever was announced',
    request: outbound({ body: text('abcd') }, { method: 'POST', framing: { kind: 'length', bytes: 99 } }),
    want: 'POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nabcd',
  },
  {
    name: 'no content as it was announced',
    request: outbound({}, { method: 'POST', framing: { kind: 'length', bytes: 0 } }),
    want: 'POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n',
  },
  {
    name: 'nothing of a GET that was chunked and empty',
    request: outbound({}, { framing: { kind: 'chunked' } }),
    want: 'GET /p HTTP/1.1\r\nHost: a.test\r\n\r\n',
  },
  {
    name: 'whole content with trailers chunked',
    request: outbound(
      { body: text('abc'), trailers: () => [['X', 'y']] },
      { method: 'POST', framing: { kind: 'chunked' } },
    ),
    want: 'POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n',
  },
  {
    name: 'a stream of unknown length chunked',
    request: outbound({ body: parts('abc', 'de') }, { method: 'PUT', framing: { kind: 'chunked' } }),
    want: 'PUT /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
  },
  {
    name: 'a stream of known length as it is',
    request: outbound({ body: parts('abc', 'de') }, { method: 'PUT', framing: { kind: 'length', bytes: 5 } }),
    want: 'PUT /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nabcde',
  },
  {
    name: 'that trailers are understood',
    request: outbound({}, { wantsTrailers: true }),
    want: 'GET /p HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n',
  },
  {
    name: 'content of a GET, and that nothing comes behind it',
    request: outbound({ body: text('x') }, { framing: { kind: 'length', bytes: 1 } }),
    want: 'GET /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
  },
];

for (const { name, request, want } of sent) {
  test(`Http1Connection sends ${name}`, async () => {
    const line = await wire();
    const answer = line.connection.send(request, NEVER);
    await until(() => line.received().length >= want.length);
    expect(line.received()).toBe(want);
    line.upstream.write(OK);
    await answer;
    expect(line.connection.ready).toBe(!want.includes('Connection: close'));
  });
}

const unwritable: readonly [string, OutboundRequest][] = [
  ['a line break in a value', outbound({ headers: [['X', 'a\r\nY: b']] })],
  ['a character that would become a line feed', outbound({ headers: [['X', '\u010a']] })],
  ['a second framing', outbound({ headers: [['Transfer-Encoding', 'chunked']] })],
  ['a second Host', outbound({ headers: [['host', 'b.test']] })],
  ['a path with a blank', outbound({ path: '/a HTTP/1.1\r\nX: y' })],
  ['a Host with a line break', outbound({ host: 'a.test\r\nX: y' })],
];

for (const [name, request] of unwritable) {
  test(`Http1Connection does not write ${name}, and is as good as before`, async () => {
    const line = await wire();
    expect(await codeOf(line.connection.send(request, NEVER))).toBe('CLIENT_PROTOCOL');
    expect([line.connection.ready, line.received()]).toEqual([true, '']);
  });
}

interface Got {
  readonly name: string;
  readonly bytes: string;
  readonly request?: OutboundRequest;
  readonly body: string;
  readonly reusable: boolean;
}

const got: readonly Got[] = [
  { name: 'a length', bytes: OK, body: 'ok', reusable: true },
  {
    name: 'chunks',
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nT: 1\r\n\r\n',
    body: 'ok',
    reusable: true,
  },
  { name: 'no content', bytes: 'HTTP/1.1 204 \r\n\r\n', body: '', reusable: true },
  {
    name: 'a length of HEAD',
    bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n',
    request: outbound({}, { method: 'HEAD' }),
    body: '',
    reusable: true,
  },
  {
    name: 'the wish to close',
    bytes: OK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    body: 'ok',
    reusable: false,
  },
  { name: 'HTTP/1.0', bytes: OK.replace('1.1', '1.0'), body: 'ok', reusable: false },
  { name: 'a second answer behind the first', bytes: OK + OK, body: 'ok', reusable: false },
  {
    name: '204 that announces content',
    bytes: 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n',
    body: '',
    reusable: false,
  },
];

for (const { name, bytes, request, body, reusable } of got) {
  test(`Http1Connection reads ${name} and is ${reusable ? '' : 'not '}used again`, async () => {
    const { answer, connection } = await ask(bytes, request);
    expect((await bytesOf(answer.body)).toString()).toBe(body);
    expect([connection.ready, connection.closed]).toEqual([reusable, !reusable]);
  });
}

test('Http1Connection gives whole content as bytes, with its trailers', async () => {
  const { answer } = await ask(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: 1\r\n\r\n',
  );
  expect(answer.body).toBeInstanceOf(Uint8Array);
  expect(answer.trailers()).toEqual([['T', '1']]);
});

test('Http1Connection reads content until the end where nothing else ends it', async () => {
  const { answer, upstream, connection } = await ask('HTTP/1.1 200 OK\r\n\r\nab');
  upstream.end('cd');
  expect((await bytesOf(answer.body)).toString()).toBe('abcd');
  expect(connection.closed).toBe(true);
});

test('Http1Connection takes a reset of such content for a truncation', async () => {
  const { answer, upstream } = await ask('HTTP/1.1 200 OK\r\n\r\nab');
  const body = bytesOf(answer.body);
  upstream.resetAndDestroy();
  expect(await codeOf(body)).toBe('UPSTREAM_TRUNCATED');
});

test('Http1Connection passes interim answers on, but 100', async () => {
  const informed: number[] = [];
  const request = outbound({ inform: status => informed.push(status) });
  const { answer } = await ask(`HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\n${OK}`, request);
  expect([answer.head.status, informed]).toEqual([200, [103]]);
});

const failures: readonly [string, string, string][] = [
  ['an answer of another protocol', 'HTTP/2.0 200 OK\r\n\r\n', 'UPSTREAM_PROTOCOL'],
  ['bytes that are no answer', '\x16\x03\x01\x02', 'UPSTREAM_PROTOCOL'],
  ['an endless row of interim answers', 'HTTP/1.1 102 P\r\n\r\n'.repeat(11), 'UPSTREAM_PROTOCOL'],
  [
    'a 101 that nobody asked for',
    'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'UPSTREAM_PROTOCOL',
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok', 'UPSTREAM_PROTOCOL'],
];

for (const [name, bytes, want] of failures) {
  test(`Http1Connection refuses ${name}`, async () => {
    expect(await codeOf(ask(bytes))).toBe(want);
  });
}

test('Http1Connection tells an upstream that closed at once from one that closed in its answer', async () => {
  const codes: string[] = [];
  for (const bytes of ['', 'HTTP/1.1 2']) {
    const line = await wire();
    const answer = line.connection.send(outbound(), NEVER);
    await until(() => line.received() !== '');
    line.upstream.end(bytes);
    codes.push(await codeOf(answer));
  }
  expect(codes).toEqual(['UPSTREAM_UNREACHABLE', 'UPSTREAM_TRUNCATED']);
});

test('Http1Connection waits for an answer only so long', async () => {
  const line = await wire({ limits: { headMs: 30 } });
  expect(await codeOf(line.connection.send(outbound(), NEVER))).toBe('UPSTREAM_TIMEOUT');
  expect(line.connection.closed).toBe(true);
});

test('Http1Connection waits for content only so long', async () => {
  const { answer } = await ask('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na', outbound(), {
    limits: { contentIdleMs: 30 },
  });
  expect(await codeOf(bytesOf(answer.body))).toBe('UPSTREAM_TIMEOUT');
});

test('Http1Connection stops at once when the sandbox goes away', async () => {
  const controller = new AbortController();
  const line = await wire();
  const answer = line.connection.send(outbound(), controller.signal);
  const closed = once(line.upstream, 'end');
  controller.abort();
  expect(await codeOf(answer)).toBe('CLIENT_ABORTED');
  await closed;
});

test('Http1Connection sends nothing for a sandbox that has gone already', async () => {
  const line = await wire();
  expect(await codeOf(line.connection.send(outbound(), AbortSignal.abort()))).toBe('CLIENT_ABORTED');
  expect([line.connection.ready, line.received()]).toEqual([true, '']);
});

test('Http1Connection closes when the reader of an answer leaves', async () => {
  const { answer, upstream, connection } = await ask('HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\na');
  const closed = once(upstream, 'end');
  (answer.body as Readable).destroy();
  await closed;
  expect(connection.closed).toBe(true);
});

test('a request that is cut short never looks whole to the upstream', async () => {
  const line = await wire();
  const body = new PassThrough();
  const request = outbound({ body }, { method: 'POST', framing: { kind: 'chunked' } });
  const answer = line.connection.send(request, NEVER);
  body.write('abc');
  await until(() => line.received().endsWith('abc\r\n'));
  const closed = once(line.upstream, 'end');
  body.destroy(new Error('the sandbox broke off'));
  expect(await codeOf(answer)).toBe('CLIENT_ABORTED');
  await closed;
  expect(line.received()).not.toContain('0\r\n\r\n');
});

test('an early refusal is delivered, and the rest of the request is not sent', async () => {
  const body = new PassThrough();
  body.write('abc');
  const request = outbound({ body }, { method: 'POST', framing: { kind: 'length', bytes: 100 } });
  const { answer, connection } = await ask('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno', request);
  expect([answer.head.status, connection.closed, body.destroyed]).toEqual([413, true, true]);
});

test('an early answer that goes on lets the request go on', async () => {
  const body = new PassThrough();
  body.write('abc');
  const request = outbound({ body }, { method: 'POST', framing: { kind: 'length', bytes: 6 } });
  const { answer, connection, upstream, received } = await ask(
    'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc',
    request,
  );
  body.end('def');
  await until(() => received().endsWith('abcdef'));
  upstream.write('def');
  expect((await bytesOf(answer.body)).toString()).toBe('abcdef');
  expect(connection.ready).toBe(true);
});

test('bytes that nobody asked for close an idle connection', async () => {
  const closed: string[] = [];
  const line = await wire({ onClosed: () => closed.push('closed') });
  line.upstream.write(OK);
  await until(() => line.connection.closed);
  expect(closed).toEqual(['closed']);
});

test('a connection takes one request at a time, and says when it takes the next', async () => {
  let ready = 0;
  const line = await wire({
    onReady: () => {
      ready += 1;
    },
  });
  const first = line.connection.send(outbound(), NEVER);
  expect(await codeOf(line.connection.send(outbound(), NEVER))).toBe('UPSTREAM_UNREACHABLE');
  line.upstream.write(OK);
  await first;
  expect(ready).toBe(1);
});
