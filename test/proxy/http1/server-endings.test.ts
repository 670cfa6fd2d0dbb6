import { Readable } from 'node:stream';
import { errorCode } from '../../../src/core/errors.js';
import type { Exchange } from '../../../src/proxy/exchange.js';
import type { ConnectRequest, ServerOptions } from '../../../src/proxy/http1/server.js';
import { readAnswers } from '../../support/http1-answers.js';
import { answer, converse, facts, recordingOptions, serve } from './harness.js';
import { deferred, FACTS, GET, GET10, handler, until } from './server-harness.js';

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
  ['a kept connection that says nothing more', GET, { keepAliveMs: 400 }, [200]],
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
    const onAbort = (): void => {
      reasons.push(errorCode(exchange.signal.reason));
      resolve();
    };
    exchange.signal.addEventListener('abort', onAbort, { once: true });
    served.client.resetAndDestroy();
    await promise;
  });
  const served = await serve(options);
  served.client.write(GET);
  await promise;
  expect(reasons).toEqual(['CLIENT_ABORTED']);
});

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
