import fc from 'fast-check';
import { type HeaderList, noteRepeated } from '../../../src/core/headers.js';
import { FieldReader } from '../../../src/proxy/http1/fields.js';
import { parseResponseHead } from '../../../src/proxy/http1/response-head.js';
import { emitResponseHead } from '../../../src/proxy/http1/write.js';

const refused: readonly [string, string, string][] = [
  ['two digits', 'HTTP/1.1 99 X\r\n\r\n', 'bad-status-line'],
  ['four digits', 'HTTP/1.1 2000 X\r\n\r\n', 'bad-status-line'],
  ['600', 'HTTP/1.1 600 X\r\n\r\n', 'bad-status'],
  ['099', 'HTTP/1.1 099 X\r\n\r\n', 'bad-status'],
  ['a lower-case version', 'http/1.1 200 X\r\n\r\n', 'bad-status-line'],
  ['HTTP/1.2', 'HTTP/1.2 200 X\r\n\r\n', 'bad-status-line'],
  ['a control character in the reason', 'HTTP/1.1 200 \x1b[2J\r\n\r\n', 'bad-status-line'],
  ['407', 'HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n', 'proxy-authentication'],
  ['205 with content', 'HTTP/1.1 205 X\r\nContent-Length: 5\r\n\r\n', 'content-not-expected'],
  ['a coding over HTTP/1.0', 'HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n', 'bad-transfer-coding'],
  [
    'a coding that is not chunked',
    'HTTP/1.1 200 X\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'bad-transfer-coding',
  ],
  ['a nominated Set-Cookie', 'HTTP/1.1 200 X\r\nConnection: set-cookie\r\n\r\n', 'nominated-end-to-end'],
];

for (const [name, text, code] of refused) {
  test(`parseResponseHead refuses ${name}`, () => {
    expect(parseResponseHead(text, 'GET', new FieldReader(200))).toEqual({ ok: false, error: code });
  });
}

const framings: readonly [string, string, string, object][] = [
  ['a length', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { kind: 'length', bytes: 5 }],
  ['nothing, so the end of the connection', 'GET', 'HTTP/1.1 200\r\n\r\n', { kind: 'close' }],
  [
    'a length of HEAD as what it announces',
    'HEAD',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    { kind: 'length', bytes: 5 },
  ],
  ['nothing of HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\n\r\n', { kind: 'none' }],
  ['204 as nothing', 'GET', 'HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n', { kind: 'none' }],
];

for (const [name, method, text, framing] of framings) {
  test(`parseResponseHead frames ${name}`, () => {
    const parsed = parseResponseHead(text, method, new FieldReader(200));
    expect(parsed).toMatchObject({ ok: true, value: { head: { framing } } });
  });
}

test('parseResponseHead leaves out what ends at this hop', () => {
  const hop =
    'Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nAlt-Svc: h3=":443"\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\n';
  const parsed = parseResponseHead(
    `HTTP/1.1 200 OK\r\n${hop}Set-Cookie: a\r\nset-cookie: b\r\n\r\n`,
    'GET',
    new FieldReader(200),
  );
  expect(parsed).toMatchObject({
    ok: true,
    value: {
      head: {
        headers: [
          ['Set-Cookie', 'a'],
          ['set-cookie', 'b'],
        ],
      },
    },
  });
});

test('a head that was written reads as itself, and random text never throws', () => {
  const field = fc.tuple(
    fc.stringMatching(/^X-[A-Za-z0-9]{1,9}$/),
    fc.stringMatching(/^(?:[!-~\x80-\xff]{1,20})?$/),
  );
  const reason = fc.stringMatching(/^[ -~\x80-\xff]{0,20}$/);
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 399 }),
      reason,
      fc.array(field, { maxLength: 6 }),
      (status, phrase, headers) => {
        fc.pre(![204, 205, 304].includes(status));
        const text = emitResponseHead(status, phrase, headers, { kind: 'length', bytes: 7 }, '');
        const head = {
          status,
          reason: phrase,
          headers,
          framing: { kind: 'length', bytes: 7 },
          version: '1.1',
        };
        expect(parseResponseHead(text, 'GET', new FieldReader(200))).toEqual({
          ok: true,
          value: { head, persistent: true, switches: false },
        });
      },
    ),
    { seed: 25, numRuns: 300 },
  );
  const wild = fc.array(
    fc.constantFrom('HTTP/1.1 ', '200', ' OK', '\r\n', ':', ' ', 'A', '\0', '\xff', 'Connection: '),
  );
  fc.assert(
    fc.property(wild, pieces => {
      parseResponseHead(`${pieces.join('')}\r\n\r\n`, 'GET', new FieldReader(200));
    }),
    { seed: 26, numRuns: 500 },
  );
});

test('a list that comes again is written with what each answer says beside it', () => {
  const headers: HeaderList = [['X-Trace', '1']];
  noteRepeated(headers);
  const heads = [
    [200, 'OK', 7, ''],
    [200, 'OK', 7, ''],
    [404, 'OK', 7, ''],
    [200, 'Fine', 7, ''],
    [200, 'OK', 8, ''],
    [200, 'OK', 7, 'Connection: close\r\n'],
    [200, 'OK', 7, ''],
  ] as const;
  for (const [status, reason, bytes, connection] of heads) {
    const text = emitResponseHead(status, reason, headers, { kind: 'length', bytes }, connection);
    expect(text).toBe(
      `HTTP/1.1 ${status} ${reason}\r\nX-Trace: 1\r\nContent-Length: ${bytes}\r\n${connection}\r\n`,
    );
  }
  expect(() => emitResponseHead(99, 'OK', headers, { kind: 'length', bytes: 7 }, '')).toThrow('the status');
});
