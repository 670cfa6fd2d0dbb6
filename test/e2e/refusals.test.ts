/** What may not pass: refused where it is tried, at once, in the words of its protocol, and on record. */
import { decode } from 'dns-packet';
import { issue, makeTestCa, startTlsServer, type TestServer } from '../support/tls.js';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const STRANGER = 'stranger.example.test';
const PLAIN = 'plain.example.test';
const UNREAD = 'unread.example.test';
const stage = new Stage();
const TOKEN = 'refusal-real-value-0123456789';
let seen: string[] = [];
let stranger: TestServer;

beforeAll(async () => {
  await stage.https(NAME, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end('reached\n');
  });
  await stage.http(PLAIN, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end('plainly\n');
  });
  await stage.https(UNREAD, (_request, response) => response.end('unread\n'));
  const unknown = makeTestCa();
  stranger = await startTlsServer({
    ca: unknown,
    names: [STRANGER],
    certificate: issue(unknown, { names: [STRANGER] }),
  });
  stage.env.TOKEN = TOKEN;
  stage.flags.push(
    ...['--add-host', `${STRANGER}=127.0.0.1:${stranger.port}`, '--allow', STRANGER],
    ...['--secret', `TOKEN@${NAME}`, '--secret', `TOKEN2=other-value-0123456789@${PLAIN}`],
    ...['--policy', stage.place.file('deny.yaml', `deny_domain: [{ domain: ${NAME}, methods: [DELETE] }]\n`)],
  );
});
afterAll(async () => {
  await stranger.close();
  await stage.close();
});
beforeEach(() => {
  seen = [];
});

test.each([
  [
    'a method that a rule denies, inside TLS',
    `curl -sS -X DELETE https://${NAME}/x`,
    { error: 'ErrBlocked', reason: 'deny-rule', rule: 'deny_domain[0]', host: NAME },
  ],
  [
    'DNS over HTTPS',
    `curl -sS -H 'Accept: application/dns-message' https://${NAME}/dns-query?dns=AAAB`,
    { error: 'ErrBlocked', reason: 'dns-over-https' },
  ],
  [
    'a public address that no rule names',
    'curl -sS http://93.184.216.34/',
    { error: 'ErrHostNotAllowed', reason: 'no-rule', host: '93.184.216.34' },
  ],
  [
    'the metadata address of a cloud',
    'curl -sS http://169.254.169.254/latest/meta-data/',
    { error: 'ErrBlocked', reason: 'metadata-address', host: '169.254.169.254' },
  ],
  [
    'a private address',
    'curl -sS http://10.0.0.5/',
    { error: 'ErrBlocked', reason: 'private-address', host: '10.0.0.5' },
  ],
  [
    'an allowed name in the Host of a request to an address, when the name is not allowed',
    "curl -sS -H 'Host: evil.example.test' http://93.184.216.34/",
    { error: 'ErrHostNotAllowed', reason: 'no-rule', host: 'evil.example.test' },
  ],
  [
    'a placeholder over plain HTTP',
    `curl -sS -H "X-Key: $TOKEN2" http://${PLAIN}/`,
    { error: 'ErrSecretLeak', reason: 'secret-leak', host: PLAIN },
  ],
])('%s is a 403 that says why', async (_what, script, expected) => {
  const { code, stdout, events } = await stage.sh(script);
  expect(JSON.parse(stdout)).toEqual({
    rule: null,
    host: expect.any(String),
    hint: expect.stringMatching(/\w/),
    ...expected,
  });
  expect(code).toBe(0);
  expect(seen).toEqual([]);
  expect(facts(events, 'request.refused')).toMatchObject([{ status_code: 403, reason: expected.reason }]);
  expectInvariants(events);
});

test('an upstream that proves nothing is a 502, and gets not a byte of the request', async () => {
  const { stdout, events } = await stage.sh(`curl -sS https://${STRANGER}/`);
  expect(JSON.parse(stdout)).toMatchObject({ error: 'UPSTREAM_UNTRUSTED', host: STRANGER });
  expect(stranger.seen.bytes).toBe(0);
  expect(facts(events, 'request.failed')).toMatchObject([{ status_code: 502, reason: 'UPSTREAM_UNTRUSTED' }]);
});

test('a denied name in a handshake to any address gets an alert, and no certificate', async () => {
  const { code, stdout, events } = await stage.sh(
    'curl -sSv --resolve evil.example.test:443:93.184.216.34 https://evil.example.test/ 2>&1',
  );
  expect(code).toBe(35); // CURLE_SSL_CONNECT_ERROR
  expect(stdout).toMatch(/unrecognized name/);
  expect(facts(events, 'tls.refused')).toMatchObject([{ host: 'evil.example.test', reason: 'no-rule' }]);
  expectInvariants(events);
});

const query = (name: string, server: string): string => `/usr/bin/python3 -c 'import socket, struct
labels = b"".join(bytes([len(part)]) + part.encode() for part in "${name}".split("."))
question = struct.pack(">6H", 7, 256, 1, 0, 0, 1) + labels + bytes(1) + struct.pack(">2H", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
s.sendto(question + bytes(1) + struct.pack(">HHIH", 41, 1232, 0, 0), ("${server}", 53))
print(s.recv(4096).hex())'`;

test('a denied name does not exist, whatever server is asked, and the answer says why', async () => {
  const { stdout, events } = await stage.sh(query('evil.example.test', '9.9.9.9'));
  const answer = decode(Buffer.from(stdout.trim(), 'hex')) as ReturnType<typeof decode> & { rcode: string };
  expect(answer.rcode).toBe('NXDOMAIN');
  const [opt] = answer.additionals ?? [];
  const options = opt?.type === 'OPT' ? (opt.options as unknown as { code: number; data: Buffer }[]) : [];
  const extended = options.find(({ code }) => code === 15); // RFC 8914
  expect([15, 17]).toContain(extended?.data.readUInt16BE(0));
  expect(facts(events, 'dns.refused')).toMatchObject([{ host: 'evil.example.test', reason: 'no-rule' }]);
});

test.each([
  ['QUIC', 's.connect(("198.18.0.9", 443)); s.send(b"x"); s.recv(9)', 'udp', 443],
  ['a resolver of its own over TLS', 't.connect(("9.9.9.9", 853))', 'tcp', 853],
])('%s fails at once', async (_what, body, protocol, port) => {
  const { stdout, events } = await stage.sh(`/usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
t = socket.socket(); t.settimeout(20)
${body}' 2>&1 | tail -1`);
  expect(stdout).toMatch(/PermissionError|ConnectionRefusedError|Host is unreachable|No route/);
  expect(facts(events, 'flow.refused')).toMatchObject([{ protocol, port, blocked: true }]);
});

test('TLS that a rule lets pass unread shows the upstream’s own certificate', async () => {
  const { stdout, events } = await stage.sh(`curl -sSv --cacert ${stage.caFile} https://${UNREAD}/ 2>&1`, {
    flags: ['--passthrough', UNREAD, '--ro-bind', stage.caFile],
  });
  expect(stdout).toContain('unread');
  expect(stdout).not.toMatch(/issuer:.*Sallyport/);
  expect(facts(events, 'request.done')).toEqual([]);
  expect(facts(events, 'tls.done')).toMatchObject([{ host: UNREAD, protocol: 'tls/passthrough' }]);
  expect(facts(events, 'flow.closed')).toMatchObject([
    { host: UNREAD, protocol: 'tls', destination: expect.stringMatching(/^127\.0\.0\.1:/) },
  ]);
  expectInvariants(events);
});

describe('the explicit proxy, for clients that insist on one', () => {
  const proxy = 'curl -sS -x http://198.19.255.253:3128';

  test('takes CONNECT and the absolute form, and decides both', async () => {
    const { code, stdout, events } = await stage.sh(
      `${proxy} -H "Authorization: Bearer $TOKEN" https://${NAME}/a && ${proxy} http://${PLAIN}/b`,
    );
    expect(stdout).toBe('reached\nplainly\n');
    expect(code).toBe(0);
    expect(seen).toEqual(['GET /a', 'GET /b']);
    expect(facts(events, 'request.done').map(({ host, secrets }) => [host, secrets])).toEqual([
      [NAME, ['TOKEN']],
      [PLAIN, []],
    ]);
    expectInvariants(events);
  });

  test('refuses what the policy refuses, in words', async () => {
    const { stdout, events } = await stage.sh(
      `${proxy} https://evil.example.test/ 2>&1; ${proxy} http://evil.example.test/`,
    );
    expect(stdout).toMatch(/CONNECT tunnel failed, response 403/);
    expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toMatchObject({ reason: 'no-rule' });
    expect(facts(events, 'request.refused').map(({ method, host }) => [method, host])).toEqual([
      ['CONNECT', 'evil.example.test'],
      ['GET', 'evil.example.test'],
    ]);
    expectInvariants(events);
  });
});
