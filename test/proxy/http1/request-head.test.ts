import { authorityText } from '../../../src/core/authority.js';
import { AuthorityReader, type ConnectionFacts } from '../../../src/proxy/http1/authority.js';
import { FieldReader } from '../../../src/proxy/http1/fields.js';
import { type ParsedRequest, parseRequestHead } from '../../../src/proxy/http1/request-head.js';
import { facts } from './harness.js';

const PLAIN = facts('transparent', 'allowed.test');
const TLS = facts('tls', 'allowed.test');
const PROXY = facts('proxy', null);
const NO_SNI = facts('tls', null);
const NO_NAME = facts('transparent', null);
const PORT_8080 = facts('transparent', 'allowed.test', 8080);

function read(text: string, connection: ConnectionFacts = PLAIN) {
  const authorities = new AuthorityReader(connection);
  return parseRequestHead(text, {
    facts: connection,
    authorities,
    fields: new FieldReader(200),
    contentBytes: 1000,
  });
}

function head(text: string, connection?: ConnectionFacts) {
  const parsed = read(text, connection);
  if (!parsed.ok || parsed.value.kind !== 'request') throw new Error(`no request: ${JSON.stringify(parsed)}`);
  return parsed.value;
}

const GET = 'GET /p HTTP/1.1\r\nHost: allowed.test\r\n';
const POST = 'POST /p HTTP/1.1\r\nHost: allowed.test\r\n';
const WEBSOCKET =
  'Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

interface Refused {
  readonly name: string;
  readonly text: string;
  readonly on?: ConnectionFacts;
  readonly code: string;
}

const refused: readonly Refused[] = [
  {
    name: 'a lower-case method',
    text: 'get /p HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'method-not-supported',
  },
  {
    name: 'TRACE, which echoes secrets',
    text: 'TRACE /p HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'method-not-supported',
  },
  { name: 'HTTP/0.9', text: 'GET /p\r\nHost: allowed.test\r\n\r\n', code: 'bad-request-line' },
  { name: 'HTTP/1.2', text: 'GET /p HTTP/1.2\r\nHost: allowed.test\r\n\r\n', code: 'unsupported-version' },
  {
    name: 'http/1.1 in lower case',
    text: 'GET /p http/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'bad-version',
  },
  {
    name: 'a target that is an authority to a URL parser',
    text: 'GET //denied.test/p HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'bad-target',
  },
  {
    name: 'a backslash in the path',
    text: 'GET /a\\..\\b HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'bad-target',
  },
  {
    name: 'half an escape in the path',
    text: 'GET /a%2 HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'bad-target',
  },
  { name: 'asterisk-form for GET', text: 'GET * HTTP/1.1\r\nHost: allowed.test\r\n\r\n', code: 'bad-target' },
  { name: 'origin-form to a proxy', text: `${GET}\r\n`, on: PROXY, code: 'not-an-origin' },
  {
    name: 'https through the proxy form',
    text: 'GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    code: 'wrong-scheme',
  },
  {
    name: 'a query straight behind the host in absolute-form',
    text: 'GET http://a.test?@denied.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    code: 'bad-target',
  },
  {
    name: 'userinfo in absolute-form',
    text: 'GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    code: 'bad-target',
  },
  {
    name: 'a Host that is not the SNI',
    text: 'GET / HTTP/1.1\r\nHost: other.test\r\n\r\n',
    on: TLS,
    code: 'host-not-of-handshake',
  },
  {
    name: 'a Host port that is not the handshake’s',
    text: 'GET / HTTP/1.1\r\nHost: allowed.test:8443\r\n\r\n',
    on: TLS,
    code: 'host-not-of-handshake',
  },
  {
    name: 'a name where the handshake was for an address',
    text: 'GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    on: NO_SNI,
    code: 'host-not-of-handshake',
  },
  {
    name: 'a Host without the port of the flow',
    text: `${GET}\r\n`,
    on: PORT_8080,
    code: 'host-not-of-flow',
  },
  { name: 'HTTP/1.0 without Host', text: 'GET / HTTP/1.0\r\n\r\n', code: 'no-host' },
  { name: 'an empty Host', text: 'GET / HTTP/1.1\r\nHost:\r\n\r\n', code: 'bad-host' },
  { name: 'the same Host twice', text: `${GET}Host: allowed.test\r\n\r\n`, code: 'bad-host' },
  {
    name: 'the same length twice',
    text: `${POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\n`,
    code: 'bad-content-length',
  },
  { name: 'a length with a sign', text: `${POST}Content-Length: +3\r\n\r\n`, code: 'bad-content-length' },
  {
    name: 'a length of 2^53',
    text: `${POST}Content-Length: 9007199254740992\r\n\r\n`,
    code: 'bad-content-length',
  },
  { name: 'content over the limit', text: `${POST}Content-Length: 1001\r\n\r\n`, code: 'content-too-large' },
  {
    name: 'content of HEAD',
    text: 'HEAD / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 1\r\n\r\n',
    code: 'content-not-expected',
  },
  {
    name: 'an empty transfer coding',
    text: `${POST}Transfer-Encoding:\r\n\r\n`,
    code: 'bad-transfer-coding',
  },
  {
    name: 'chunked twice',
    text: `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    code: 'bad-transfer-coding',
  },
  { name: 'a length in disguise', text: `${POST}Content_Length: 3\r\n\r\n`, code: 'ambiguous-field-name' },
  {
    name: 'a coding in another disguise',
    text: `${POST}Transfer.Encoding: chunked\r\n\r\n`,
    code: 'ambiguous-field-name',
  },
  {
    name: 'a line break in the path, escaped',
    text: 'GET /a%0D%0aX:b HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    code: 'bad-target',
  },
  { name: 'an empty field name', text: `${GET}: x\r\n\r\n`, code: 'bad-field-name' },
  { name: 'a line without a colon', text: `${GET}nothing\r\n\r\n`, code: 'bad-field-name' },
  {
    name: 'a nominated Cookie',
    text: `${GET}Connection: close, cookie\r\nCookie: a=b\r\n\r\n`,
    code: 'nominated-end-to-end',
  },
  {
    name: 'a Connection option that is no token',
    text: `${GET}Connection: a b\r\n\r\n`,
    code: 'bad-connection',
  },
  {
    name: 'a handshake that is not nominated',
    text: `${GET}${WEBSOCKET.replace(', Upgrade', '')}\r\n`,
    code: 'bad-upgrade',
  },
  {
    name: 'a handshake with two keys',
    text: `${GET}${WEBSOCKET}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    code: 'bad-upgrade',
  },
  { name: 'a handshake by POST', text: `${POST}${WEBSOCKET}\r\n`, code: 'bad-upgrade' },
  {
    name: 'CONNECT without a port',
    text: 'CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    code: 'bad-target',
  },
  {
    name: 'CONNECT to port 0',
    text: 'CONNECT a.test:0 HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    code: 'bad-target',
  },
  {
    name: 'CONNECT inside TLS',
    text: 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n',
    on: TLS,
    code: 'method-not-supported',
  },
];

for (const { name, text, on, code } of refused) {
  test(`parseRequestHead refuses ${name}`, () => {
    expect(read(text, on)).toEqual({ ok: false, error: code });
  });
}

interface Accepted {
  readonly name: string;
  readonly text: string;
  readonly on?: ConnectionFacts;
  readonly want: Partial<Extract<ParsedRequest, { kind: 'request' }>['head']>;
}

const accepted: readonly Accepted[] = [
  {
    name: 'order, case and duplicates of end-to-end fields',
    text: `${GET}B: 1\r\nA:2\r\nb:\t3 \r\n__proto__: x\r\n\r\n`,
    want: {
      headers: [
        ['B', '1'],
        ['A', '2'],
        ['b', '3'],
        ['__proto__', 'x'],
      ],
    },
  },
  {
    name: 'an empty value',
    text: `${GET}A:\r\nB: \t \r\n\r\n`,
    want: {
      headers: [
        ['A', ''],
        ['B', ''],
      ],
    },
  },
  { name: 'obs-text as it is', text: `${GET}A: \xff\x80\r\n\r\n`, want: { headers: [['A', '\xff\x80']] } },
  {
    name: 'fields of this hop away',
    text: `${GET}Connection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authorization: b\r\nTE: gzip, Trailers\r\nA: 1\r\n\r\n`,
    want: { headers: [['A', '1']], wantsTrailers: true },
  },
  {
    name: 'h2c as an ordinary request',
    text: `${GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n`,
    want: { headers: [], upgrade: null },
  },
  { name: 'a WebSocket handshake', text: `${GET}${WEBSOCKET}\r\n`, want: { upgrade: 'websocket' } },
  {
    name: 'no upgrade over HTTP/1.0',
    text: `${GET.replace('1.1', '1.0')}${WEBSOCKET}\r\n`,
    want: { upgrade: null, version: '1.0' },
  },
  {
    name: 'absolute-form as origin-form',
    text: 'GET http://A.test:80/?q HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    want: { path: '/?q' },
  },
  {
    name: 'OPTIONS of a whole server',
    text: 'OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n',
    on: PROXY,
    want: { path: '*' },
  },
  {
    name: 'a percent sign and NUL in the query, where it is data',
    text: 'GET /?a=100%&b=%00\\ HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
    want: { path: '/?a=100%&b=%00\\' },
  },
  {
    name: 'a length of 0 with GET',
    text: `${GET}Content-Length: 0\r\n\r\n`,
    want: { framing: { kind: 'length', bytes: 0 } },
  },
  {
    name: 'a Trailer field that is not sent on, for whoever searches it',
    text: `${GET}Trailer: X\r\n\r\n`,
    want: { headers: [], dropped: [['Trailer', 'X']] },
  },
  {
    name: 'an expectation of content',
    text: `${POST}Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n`,
    want: { expectsContinue: true, headers: [] },
  },
  {
    name: 'no expectation without content',
    text: `${POST}Expect: 100-continue\r\n\r\n`,
    want: { expectsContinue: false },
  },
  {
    name: 'Trailer before chunked content',
    text: `${POST}Trailer: X\r\nTransfer-Encoding: Chunked\r\n\r\n`,
    want: { headers: [['Trailer', 'X']], framing: { kind: 'chunked' } },
  },
];

for (const { name, text, on, want } of accepted) {
  test(`parseRequestHead reads ${name}`, () => {
    expect(head(text, on).head).toMatchObject(want);
  });
}

test('the authority is canonical, whatever its spelling', () => {
  const spelled = 'GET / HTTP/1.1\r\nHost: ALLOWED.test.:80\r\n\r\n';
  expect(authorityText(head(spelled).head.authority)).toBe('allowed.test');
});

test('where the flow went to an address, Host decides on plain HTTP', () => {
  const text = 'GET / HTTP/1.1\r\nHost: any.test\r\n\r\n';
  expect(authorityText(head(text, NO_NAME).head.authority)).toBe('any.test');
});

test('without SNI the address that was dialled may be asked for', () => {
  const text = 'GET / HTTP/1.1\r\nHost: 198.18.0.7\r\n\r\n';
  expect(authorityText(head(text, NO_SNI).head.authority)).toBe('198.18.0.7');
});

test('a remembered Host does not outlive a different one', () => {
  const authorities = new AuthorityReader(PLAIN);
  const names = ['allowed.test', 'denied.test', 'allowed.test', 'bad host'].map(
    host => authorities.read(host, null).ok,
  );
  expect(names).toEqual([true, false, true, false]);
});

test('only HTTP/1.1 without `close` is persistent', () => {
  const lines = [
    `${GET}\r\n`,
    `${GET}Connection: close\r\n\r\n`,
    `${GET}Connection: close, keep-alive\r\n\r\n`,
  ];
  const old = `${GET.replace('1.1', '1.0')}Connection: keep-alive\r\n\r\n`;
  expect([...lines, old].map(text => head(text).persistent)).toEqual([true, false, false, false]);
});

test('CONNECT is read for a proxy only, with the port that it names', () => {
  const parsed = read('CONNECT [2001:DB8::1]:443 HTTP/1.1\r\nHost: [2001:db8:0::1]:443\r\n\r\n', PROXY);
  expect(parsed).toMatchObject({ ok: true, value: { kind: 'connect', authority: { port: 443 } } });
});
