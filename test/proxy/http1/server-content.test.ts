import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { errorCode } from '../../../src/core/errors.js';
import type { Exchange } from '../../../src/proxy/exchange.js';
import { HIGH_WATER_MARK } from '../../../src/proxy/http1/content-reader.js';
import { readAnswers } from '../../support/http1-answers.js';
import { answer, bytesOf, converse, recordingOptions, serve } from './harness.js';
import { deferred, FACTS, GET, handler, responder, until } from './server-harness.js';

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
