import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { errorCode } from '../../../src/core/errors.js';
import type { Answer, Exchange } from '../../../src/proxy/exchange.js';
import { HIGH_WATER_MARK } from '../../../src/proxy/http1/content-reader.js';
import type { ConnectRequest, ServerOptions } from '../../../src/proxy/http1/server.js';
import { readAnswers } from '../../support/http1-answers.js';
import { answer, bytesOf, converse, facts, recordingOptions, serve } from './harness.js';

const FACTS = facts('transparent', 'allowed.test');
const GET = 'GET /p HTTP/1.1\r\nHost: allowed.test\r\n\r\n';

/** A server whose handler is `onExchange`. */
function handler(
  onExchange: (exchange: Exchange) => Promise<void>,
  more: Partial<ServerOptions> = {},
): ServerOptions {
  return {
    ...FACTS,
    onExchange,
    onFault: ({ code }) => Buffer.from(JSON.stringify({ reason: code })),
    ...more,
  };
}

function responder(given: Answer | (() => Answer)): ServerOptions {
  return handler(exchange => exchange.respond(typeof given === 'function' ? given() : given));
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2));
}

function streamed(
  parts: readonly string[],
  more: Partial<Answer['head']> = {},
  trailers: Answer['trailers'] = () => [],
): Answer {
  const body = Readable.from(
    parts.map(part => Buffer.from(part)),
    { objectMode: false },
  );
  return answer(200, '', { head: { framing: { kind: 'chunked' }, ...more }, body, trailers });
}

interface Written {
  readonly name: string;
  readonly request: string;
  readonly given: () => Answer;
  readonly want: string;
}

const GET10 = 'GET /p HTTP/1.0\r\nHost: allowed.test\r\n\r\n';
const HEAD = 'HEAD /p HTTP/1.1\r\nHost: allowed.test\r\n\r\n';

const written: readonly Written[] = [
  {
    name: 'end-to-end fields as they came, and the length last',
    request: GET,
    given: () =>
      answer(200, 'ok', {
        head: {
          reason: 'Fine',
          headers: [
            ['b', '1'],
            ['A', '2'],
            ['B', ''],
          ],
        },
      }),
    want: 'HTTP/1.1 200 Fine\r\nb: 1\r\nA: 2\r\nB: \r\nContent-Length: 2\r\n\r\nok',
  },
  {
    name: 'HEAD without content and with its length',
    request: HEAD,
    given: () => answer(200, '', { head: { framing: { kind: 'length', bytes: 7 } } }),
    want: 'HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n',
  },
  {
    name: 'HEAD of a chunked answer',
    request: HEAD,
    given: () => answer(200, '', { head: { framing: { kind: 'chunked' } } }),
    want: 'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n',
  },
  { name: '204 without a length', request: GET, given: () => answer(204, ''), want: 'HTTP/1.1 204 \r\n\r\n' },
  {
    name: '304 with the length of what it stands for',
    request: GET,
    given: () => answer(304, '', { head: { framing: { kind: 'length', bytes: 9 } } }),
    want: 'HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n',
  },
  {
    name: '200 without content as length 0, so that nobody waits',
    request: GET,
    given: () => answer(200, '', { head: { framing: { kind: 'none' } } }),
    want: 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n',
  },
  {
    name: 'a stream of unknown length chunked, with trailers',
    request: GET,
    given: () => streamed(['abc', 'de'], {}, () => [['X-T', '1']]),
    want: 'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
  },
  {
    name: 'whole content with trailers chunked',
    request: GET,
    given: () =>
      answer(200, 'abc', { head: { framing: { kind: 'chunked' } }, trailers: () => [['X-T', '1']] }),
    want: 'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
  },
  {
    name: 'a stream to HTTP/1.0 until the connection ends',
    request: GET10,
    given: () => streamed(['abc', 'de']),
    want: 'HTTP/1.1 200 \r\nConnection: close\r\n\r\nabcde',
  },
  {
    name: 'a stream of known length as it is',
    request: GET,
    given: () => streamed(['abc', 'de'], { framing: { kind: 'length', bytes: 5 } }),
    want: 'HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nabcde',
  },
  {
    name: 'a refusal and the end of the connection',
    request: GET + GET,
    given: () => answer(403, '{}', { closes: true }),
    want: 'HTTP/1.1 403 \r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}',
  },
];

for (const { name, request, given, want } of written) {
  test(`serveHttp1 writes ${name}`, async () => {
    expect((await converse(responder(given), request)).toString('latin1')).toBe(want);
  });
}

const cutShort: readonly [string, string, () => Answer][] = [
  [
    'chunked content',
    GET,
    () => answer(200, '', { head: { framing: { kind: 'chunked' } }, body: failing() }),
  ],
  [
    'content of known length',
    GET,
    () => answer(200, '', { head: { framing: { kind: 'length', bytes: 9 } }, body: failing() }),
  ],
  ['content shorter than announced', GET, () => streamed(['abc'], { framing: { kind: 'length', bytes: 9 } })],
  [
    'content longer than announced',
    GET,
    () => streamed(['abcdef'], { framing: { kind: 'length', bytes: 5 } }),
  ],
];

/** Gives three bytes and fails. */
function failing(): Readable {
  const body = new PassThrough();
  body.write('abc');
  setTimeout(() => body.destroy(new Error('gone')), 10);
  return body;
}

for (const [name, request, given] of cutShort) {
  test(`serveHttp1 shows a truncation of ${name}`, async () => {
    const errors: string[] = [];
    const options = handler(exchange =>
      exchange.respond(given()).catch(error => void errors.push(errorCode(error))),
    );
    const [got] = readAnswers(await converse(options, request));
    expect(got?.complete ?? false).toBe(false);
    expect(errors).toHaveLength(1);
  });
}

test('serveHttp1 resets a close-delimited answer that was cut short, since its end says nothing', async () => {
  const served = await serve(
    responder(() => answer(200, '', { head: { framing: { kind: 'close' } }, body: failing() })),
  );
  const failed = once(served.client, 'error');
  served.client.write(GET10);
  const [error] = await failed;
  expect(errorCode(error)).toBe('ECONNRESET');
  await served.done;
});

test('serveHttp1 reads the next request only after the last one was answered', async () => {
  let running = 0;
  let most = 0;
  const options = handler(async exchange => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(resolve => setImmediate(resolve));
    await exchange.respond(answer(200, exchange.request.head.path));
    running -= 1;
  });
  const requests = Array.from({ length: 50 }, (_, i) => GET.replace('/p', `/${i}`)).join('');
  const answers = readAnswers(await converse(options, requests));
  expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 50 }, (_, i) => `/${i}`));
  expect(most).toBe(1);
});

test('serveHttp1 invites content only when its handler reads it', async () => {
  const { options, requests } = recordingOptions(FACTS);
  const served = await serve(options);
  served.client.write(
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
  );
  const [invitation] = await once(served.client, 'data');
  expect(String(invitation)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  served.client.end('abc');
  const answers = readAnswers(await served.received);
  expect(answers.map(({ status }) => status)).toEqual([100, 200]);
  expect(requests).toMatchObject([{ body: 'abc' }]);
});

test('serveHttp1 refuses without inviting the content', async () => {
  const request =
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n';
  const received = await converse(
    responder(() => answer(403, '{}', { closes: true })),
    request,
  );
  expect(readAnswers(received).map(({ status }) => status)).toEqual([403]);
});

test('serveHttp1 ends the connection when the content was not wanted, and the answer arrives', async () => {
  const served = await serve(responder(() => answer(413, 'no')));
  served.client.write('POST /p HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5000000\r\n\r\n');
  served.client.write(Buffer.alloc(1_000_000));
  const [got] = readAnswers(await served.received);
  expect(got).toMatchObject({ status: 413, body: 'no', complete: true });
  expect(got?.fields).toContain('Connection: close');
  served.close();
});

test('serveHttp1 stops reading the socket when nobody reads the content', async () => {
  let exchange: Exchange | null = null;
  let release: () => void = () => {};
  const options = handler(async given => {
    exchange = given;
    await new Promise<void>(resolve => {
      release = resolve;
    });
    const body = await bytesOf(given.request.body);
    await given.respond(answer(200, String(body.length)));
  });
  const served = await serve(options);
  const length = 8 * 1024 * 1024;
  served.client.write(`POST /p HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: ${length}\r\n\r\n`);
  served.client.write(Buffer.alloc(length));
  const waiting = (): number => (exchange?.request.body as Readable | undefined)?.readableLength ?? 0;
  await until(() => waiting() >= HIGH_WATER_MARK);
  expect(waiting()).toBeLessThan(HIGH_WATER_MARK + 128 * 1024);
  release();
  served.client.end();
  expect(readAnswers(await served.received)).toMatchObject([{ status: 200, body: String(length) }]);
});

test('serveHttp1 counts the bytes of the request and of its answer on the wire', async () => {
  let counted = { received: 0, sent: 0 };
  const options = handler(async exchange => {
    await bytesOf(exchange.request.body);
    await exchange.respond(answer(200, 'ok'));
    counted = { received: exchange.bytes.received, sent: exchange.bytes.sent };
  });
  const request =
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
  const received = await converse(options, request);
  expect(counted).toEqual({ received: request.length, sent: received.length });
});

test('serveHttp1 answers 400 for content that goes wrong on the way, and tells the handler why', async () => {
  const codes: string[] = [];
  const faults: boolean[] = [];
  const begun = deferred();
  const options = handler(
    async exchange => {
      begun.resolve();
      await bytesOf(exchange.request.body).catch(error => codes.push(errorCode(error)));
      await exchange.respond(answer(502, 'late')).catch(error => codes.push(errorCode(error)));
      codes.push(String(exchange.signal.aborted));
    },
    {
      onFault: ({ inExchange }) => {
        faults.push(inExchange);
        return null;
      },
    },
  );
  const served = await serve(options);
  served.client.write(
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
  );
  await begun.promise;
  served.client.write('-3\r\n');
  const answers = readAnswers(await served.received);
  served.close();
  expect(answers.map(({ status }) => status)).toEqual([400]);
  expect([codes, faults]).toEqual([['CLIENT_PROTOCOL', 'CLIENT_PROTOCOL', 'true'], [true]]);
});

const deadlines: readonly [string, string, Partial<NonNullable<ServerOptions['limits']>>, number[]][] = [
  ['a head that never ends', 'GET /p HTTP/1.1\r\nHos', { headMs: 30 }, [408]],
  [
    'content that never comes',
    'POST /p HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5\r\n\r\nab',
    { contentIdleMs: 30 },
    [408],
  ],
  [
    'a chunked GET that never ends',
    'GET /p HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n',
    { headMs: 30 },
    [408],
  ],
  ['a connection that says nothing', '', { keepAliveMs: 30 }, []],
  ['a kept connection that says nothing more', GET, { keepAliveMs: 30 }, [200]],
];

for (const [name, bytes, limits, want] of deadlines) {
  test(`serveHttp1 ends ${name}`, async () => {
    const { options } = recordingOptions(FACTS, { limits: { lingerMs: 20, ...limits } });
    const served = await serve(options);
    if (bytes !== '') served.client.write(bytes);
    const answers = readAnswers(await served.received);
    await served.done;
    expect(answers.map(({ status }) => status)).toEqual(want);
  });
}

test('serveHttp1 lets go of a sandbox that does not read', async () => {
  const endless = (): Readable =>
    new Readable({
      read() {
        this.push(Buffer.alloc(64 * 1024));
      },
    });
  const errors: string[] = [];
  const options = handler(
    exchange =>
      exchange
        .respond(answer(200, '', { head: { framing: { kind: 'chunked' } }, body: endless() }))
        .catch(error => void errors.push(errorCode(error))),
    { limits: { contentIdleMs: 50 } },
  );
  const served = await serve(options);
  served.client.pause();
  served.client.write(GET);
  await served.done;
  served.close();
  await until(() => errors.length > 0);
  expect(errors).toEqual(['CLIENT_ABORTED']);
});

test('serveHttp1 fires the signal when the sandbox goes away', async () => {
  const reasons: string[] = [];
  const { promise, resolve } = deferred();
  const options = handler(async exchange => {
    exchange.signal.addEventListener('abort', () => {
      reasons.push(errorCode(exchange.signal.reason));
      resolve();
    });
    served.client.resetAndDestroy();
    await promise;
  });
  const served = await serve(options);
  served.client.write(GET);
  await promise;
  expect(reasons).toEqual(['CLIENT_ABORTED']);
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>(settle => {
    resolve = settle;
  });
  return { promise, resolve };
}

const silent: readonly [string, (exchange: Exchange) => Promise<void>][] = [
  ['rejects', () => Promise.reject(new Error('a bug'))],
  ['gives no answer', async () => {}],
  ['aborts', async exchange => exchange.abort()],
];

for (const [what, onExchange] of silent) {
  test(`serveHttp1 ends the connection without an answer when its handler ${what}`, async () => {
    expect(await converse(handler(onExchange), GET)).toHaveLength(0);
  });
}

test('an answer that cannot be written leaves room for one that can', async () => {
  const options = handler(async exchange => {
    const bad = [
      ['X', 'a\r\nY: b'],
      ['X Y', 'a'],
      ['X', '\u010a'],
      ['Content-Length', '5'],
      ['Transfer-Encoding', 'x'],
    ] as const;
    for (const field of bad) {
      await exchange.respond(answer(200, 'evil', { head: { headers: [field] } })).catch(() => null);
    }
    await exchange.respond(answer(502, 'plain'));
  });
  expect(readAnswers(await converse(options, GET))).toMatchObject([{ status: 502, body: 'plain' }]);
});

test('serveHttp1 passes interim answers to HTTP/1.1 only', async () => {
  const options = handler(async exchange => {
    exchange.inform(103, [['Link', '</a>']]);
    await exchange.respond(answer(200, 'ok'));
  });
  const statuses = async (request: string) =>
    readAnswers(await converse(options, request)).map(({ status }) => status);
  expect([await statuses(GET), await statuses(GET10)]).toEqual([[103, 200], [200]]);
});

const UPGRADE = `${GET.slice(0, -2)}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

test('serveHttp1 gives the raw bytes after an upgrade, those included that came early', async () => {
  const options = handler(async exchange => {
    const raw = exchange.upgrade([['Sec-WebSocket-Accept', 'x']]);
    raw.on('data', chunk => raw.write(chunk)).on('end', () => raw.end());
    raw.resume();
  });
  const received = (await converse(options, `${UPGRADE}early`)).toString('latin1');
  const head =
    'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
  expect(received).toBe(`${head}early`);
});

test('serveHttp1 gives the raw bytes of an accepted CONNECT, those included that came early', async () => {
  const onConnect = async (connect: ConnectRequest): Promise<void> => {
    const raw = connect.accept();
    raw.on('data', chunk => raw.write(chunk)).on('end', () => raw.end());
    raw.resume();
  };
  const { options } = recordingOptions(facts('proxy', null), { onConnect });
  const received = await converse(options, 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\nearly');
  expect(received.toString('latin1')).toBe('HTTP/1.1 200 Connection Established\r\n\r\nearly');
});

test('an error answer to HEAD has no content, and what was claimed is reported', async () => {
  const { options, faults } = recordingOptions(FACTS);
  const received = await converse(options, 'HEAD /x HTTP/1.1\r\nHost: denied.test\r\n\r\n');
  expect(received.toString('latin1')).toMatch(/^HTTP\/1\.1 403 \r\n(?:.+\r\n)+\r\n$/);
  const claimed = { method: 'HEAD', target: '/x', host: 'denied.test' };
  expect(faults).toEqual([{ status: 403, code: 'host-not-of-flow', claimed, inExchange: false }]);
});
