import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { errorCode } from '../../../src/core/errors.js';
import type { Answer } from '../../../src/proxy/exchange.js';
import { readAnswers } from '../../support/http1-answers.js';
import { answer, converse, serve } from './harness.js';
import { GET, GET10, handler, responder, streamed } from './server-harness.js';

interface Written {
  readonly name: string;
  readonly request: string;
  readonly given: () => Answer;
  readonly want: string;
}

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
