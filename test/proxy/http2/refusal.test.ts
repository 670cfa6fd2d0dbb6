import type { HeaderList } from '../../../src/core/headers.js';
import { ERROR, TYPE } from '../../../src/proxy/http2/frames.js';
import { dataFrame, GREETING, headersFrame, requestFields } from '../../support/h2-frames.js';
import { framesUntil, serve } from '../../support/h2-server.js';

interface Refusal {
  readonly name: string;
  readonly fields: HeaderList;
  readonly content?: Buffer;
  /** A status, or the code of a reset below zero. */
  readonly want: number;
  readonly code: string;
}

const MALFORMED = -ERROR.protocol;
const withField = (name: string, value: string): HeaderList => requestFields({}, [[name, value]]);

const refusals: Refusal[] = [
  {
    name: 'another authority than the handshake',
    fields: requestFields({ authority: 'other.test' }),
    want: 421,
    code: 'host-not-of-handshake',
  },
  {
    name: 'another port',
    fields: requestFields({ authority: 'allowed.test:444' }),
    want: 421,
    code: 'host-not-of-handshake',
  },
  {
    name: 'a host that is not the authority',
    fields: withField('host', 'other.test'),
    want: 400,
    code: 'host-and-target-differ',
  },
  {
    name: 'CONNECT',
    fields: [
      [':method', 'CONNECT'],
      [':authority', 'allowed.test:443'],
    ],
    want: 405,
    code: 'method-not-supported',
  },
  { name: 'TRACE', fields: requestFields({ method: 'TRACE' }), want: 405, code: 'method-not-supported' },
  {
    name: 'a method in lower case',
    fields: requestFields({ method: 'get' }),
    want: 405,
    code: 'method-not-supported',
  },
  { name: 'another scheme', fields: requestFields({ scheme: 'http' }), want: 400, code: 'wrong-scheme' },
  { name: 'another expectation', fields: withField('expect', 'x'), want: 417, code: 'bad-expectation' },
  {
    name: 'a list of fields that is too long',
    fields: withField('x', 'y'.repeat(15_000)).concat(withField('x', 'y').slice(4)),
    want: 431,
    code: 'head-too-large',
  },
  {
    name: 'a protocol to connect to',
    fields: [[':protocol', 'websocket'], ...requestFields()],
    want: MALFORMED,
    code: 'bad-request-line',
  },
  {
    name: 'a status in a request',
    fields: [[':status', '200'], ...requestFields()],
    want: MALFORMED,
    code: 'bad-request-line',
  },
  {
    name: 'a pseudo-field twice',
    fields: [...requestFields(), [':path', '/q']],
    want: MALFORMED,
    code: 'bad-request-line',
  },
  {
    name: 'a pseudo-field behind others',
    fields: [['x', 'y'], ...requestFields()],
    want: MALFORMED,
    code: 'bad-request-line',
  },
  { name: 'no authority at all', fields: requestFields().slice(0, 3), want: MALFORMED, code: 'no-host' },
  { name: 'a fragment', fields: requestFields({ path: '/a#b' }), want: MALFORMED, code: 'bad-target' },
  {
    name: 'absolute-form',
    fields: requestFields({ path: 'https://allowed.test/' }),
    want: MALFORMED,
    code: 'bad-target',
  },
  { name: 'an upper-case name', fields: withField('X', 'y'), want: MALFORMED, code: 'bad-field-name' },
  { name: 'an empty name', fields: withField('', 'y'), want: MALFORMED, code: 'bad-field-name' },
  {
    name: 'a line break in a value',
    fields: withField('x', 'a\r\nb: c'),
    want: MALFORMED,
    code: 'bad-field-value',
  },
  {
    name: 'a blank at the end of a value',
    fields: withField('x', 'a '),
    want: MALFORMED,
    code: 'bad-field-value',
  },
  { name: 'Connection', fields: withField('connection', 'close'), want: MALFORMED, code: 'bad-connection' },
  {
    name: 'Transfer-Encoding',
    fields: withField('transfer-encoding', 'chunked'),
    want: MALFORMED,
    code: 'bad-connection',
  },
  {
    name: 'TE that is not trailers',
    fields: withField('te', 'gzip'),
    want: MALFORMED,
    code: 'bad-connection',
  },
  {
    name: 'a framing field in disguise',
    fields: withField('content_length', '5'),
    want: MALFORMED,
    code: 'ambiguous-field-name',
  },
  {
    name: 'two lengths',
    fields: requestFields({ method: 'POST' }, [
      ['content-length', '3'],
      ['content-length', '3'],
    ]),
    content: dataFrame(1, 'abc'),
    want: MALFORMED,
    code: 'bad-content-length',
  },
  {
    name: 'a length without content',
    fields: requestFields({ method: 'POST' }, [['content-length', '3']]),
    want: MALFORMED,
    code: 'bad-content-length',
  },
  {
    name: 'more content than announced',
    fields: requestFields({ method: 'POST' }, [['content-length', '3']]),
    content: dataFrame(1, 'abcd'),
    want: MALFORMED,
    code: 'bad-content-length',
  },
  {
    name: 'less content than announced',
    fields: requestFields({ method: 'POST' }, [['content-length', '3']]),
    content: dataFrame(1, 'ab'),
    want: MALFORMED,
    code: 'bad-content-length',
  },
  {
    name: 'content of a GET',
    fields: requestFields(),
    content: dataFrame(1, 'ab'),
    want: MALFORMED,
    code: 'content-not-expected',
  },
  {
    name: 'a forbidden trailer',
    fields: requestFields({ method: 'POST' }),
    content: headersFrame(1, [['authorization', 'x']]),
    want: MALFORMED,
    code: 'forbidden-trailer',
  },
  {
    name: 'a pseudo-field in the trailers',
    fields: requestFields({ method: 'POST' }),
    content: headersFrame(1, [[':path', '/q']]),
    want: MALFORMED,
    code: 'bad-field-name',
  },
];

for (const { name, fields, content, want, code } of refusals) {
  test(`serveHttp2 refuses ${name}`, async () => {
    const served = serve(
      async () => {
        throw new Error('it was handed over');
      },
      { headBytes: 12_000 },
    );
    served.far.write(
      Buffer.concat([GREETING, headersFrame(1, fields, content === undefined), content ?? Buffer.alloc(0)]),
    );
    const frames = await framesUntil(served.far, seen => seen.some(({ stream }) => stream === 1));
    const first = frames.find(({ stream }) => stream === 1);
    if (want < 0) expect(first).toMatchObject({ type: TYPE.reset, payload: Buffer.of(0, 0, 0, -want) });
    else expect(first?.payload.toString('latin1')).toContain(want === 400 ? '\x8c' : String(want));
    expect(served.faults).toMatchObject([{ code, inExchange: false }]);
    served.far.destroy();
    await served.served;
  });
}
