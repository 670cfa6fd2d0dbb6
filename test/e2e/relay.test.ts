/** What goes through arrives as it was sent: heads, bodies, interim answers, ends, and truncations. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const OTHER = 'other.example.test';
const stage = new Stage();
const GZIPPED = gzipSync('a body that nobody unpacks on the way\n'.repeat(500));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Answers on the wire, by path. */
const ANSWERS: ReadonlyMap<string, string | Uint8Array> = new Map<string, string | Uint8Array>([
  [
    '/redirect',
    `HTTP/1.1 302 Moved Here\r\nSet-Cookie: a=1; Path=/\r\nX-UPPER: Q\r\nset-cookie: b=2\r\nLocation: https://${OTHER}/landed\r\nContent-Length: 0\r\n\r\n`,
  ],
  ['/elsewhere', `HTTP/1.1 302 Found\r\nLocation: https://evil.example.test/\r\nContent-Length: 0\r\n\r\n`],
  [
    '/gzip',
    Buffer.concat([
      Buffer.from(
        `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nETag: "x"\r\nContent-Length: ${GZIPPED.length}\r\n\r\n`,
      ),
      GZIPPED,
    ]),
  ],
  ['/204', 'HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n'],
  ['/304', 'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'],
  [
    '/hints',
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend',
  ],
  ['/short', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this'],
  ['/cut', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  [
    '/trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n',
  ],
  ['/head', 'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-Kept: yes\r\n\r\n'],
]);

let heads: string[] = [];

beforeAll(async () => {
  await stage.tls(NAME, socket => {
    let seen = '';
    socket.on('data', chunk => {
      seen += chunk.toString('latin1');
      if (!seen.includes('\r\n\r\n')) return;
      heads.push(seen);
      const answer = ANSWERS.get(seen.split(/[ ?]/)[1] ?? '');
      seen = '';
      if (answer !== undefined) socket.end(answer);
    });
  });
  await stage.https(OTHER, (request, response) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on('end', () => response.end(`${request.method} ${bytes} ${request.url}\n`));
  });
});
afterAll(() => stage.close());
beforeEach(() => {
  heads = [];
});

const curl = (path: string, more = '') => stage.sh(`curl -sS --http1.1 ${more} https://${NAME}${path}`);

test('a request keeps the order, the case and the duplicates of its fields', async () => {
  const fields = 'X-b: 2\r\nx-A: one\r\nX-b: 3\r\nACCEPT: */*\r\nCookie: k=v; k=w\r\n';
  const request = `GET /204?q=%20 HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n${fields}\r\n`;
  await stage.sh(
    `printf '${request.replaceAll('%', '%%')}' | openssl s_client -quiet -servername ${NAME} -connect ${NAME}:443`,
  );
  expect(heads).toHaveLength(1);
  expect(heads[0]).toMatch(/^GET \/204\?q=%20 HTTP\/1\.1\r\n/);
  expect(heads[0]).toContain(fields);
  expect(heads[0]?.match(/^host: /gim)).toHaveLength(1);
});

test('a redirect goes back with its cookies, and nothing follows it', async () => {
  const { stdout, events } = await curl('/redirect', '-i');
  expect(stdout).toMatch(
    /^HTTP\/1\.1 302 Moved Here\r\nSet-Cookie: a=1; Path=\/\r\nX-UPPER: Q\r\nset-cookie: b=2\r\nLocation: https:\/\/other\.example\.test\/landed\r\n/,
  );
  expect(facts(events, 'request.done')).toMatchObject([{ status_code: 302, host: NAME }]);
});

test('the request that follows a redirect is decided anew', async () => {
  const allowed = await curl('/redirect', '-L');
  expect(allowed.stdout).toBe('GET 0 /landed\n');
  expect(facts(allowed.events, 'request.done').map(({ host }) => host)).toEqual([NAME, OTHER]);
  const denied = await curl('/elsewhere', '-L');
  expect(denied.code).toBe(6);
  expect(facts(denied.events, 'dns.refused')[0]).toMatchObject({ host: 'evil.example.test' });
});

test('an encoded body stays encoded, to the byte', async () => {
  const { stdout } = await stage.sh(`curl -sS --http1.1 https://${NAME}/gzip | sha256sum`);
  expect(stdout.split(' ')[0]).toBe(sha256(GZIPPED));
});

test.each([
  ['204', '/204', '-i', /^HTTP\/1\.1 204 No Content\r\nX-Kept: yes\r\n(?:.+\r\n)*\r\n$/],
  [
    '304',
    '/304',
    '-i -H \'If-None-Match: "v1"\'',
    /^HTTP\/1\.1 304 Not Modified\r\nETag: "v1"\r\n(?:.+\r\n)*\r\n$/,
  ],
  ['HEAD', '/head', '-I', /^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)*Content-Length: 12345\r\n(?:.+\r\n)*\r\n$/i],
  [
    '103 before the answer',
    '/hints',
    '-i',
    /^HTTP\/1\.1 103 .*\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n(?:.+\r\n)*\r\nend$/,
  ],
])('%s passes as it is', async (_what, path, flags, expected) => {
  const { code, stdout, events } = await curl(path, flags);
  expect(stdout).toMatch(expected);
  expect(code).toBe(0);
  expectInvariants(events);
});

test.each([
  ['a body shorter than its content-length', '/short'],
  ['a chunked body without its last chunk', '/cut'],
])('%s is an error that the client sees, and an event', async (_what, path) => {
  const { code, events } = await curl(path);
  expect(code).toBe(18); // CURLE_PARTIAL_FILE
  expect(facts(events, 'request.failed')).toMatchObject([{ reason: 'UPSTREAM_TRUNCATED', status_code: 200 }]);
  expectInvariants(events);
});

test('curl waits with a long body until the decision is made', async () => {
  const upload = (method: string) =>
    `head -c 2000000 /dev/zero | curl -sSv --http1.1 --expect100-timeout 20 -X ${method} -H 'Content-Type: x/y' --data-binary @- https://${OTHER}/up 2>&1`;
  const allowed = await stage.sh(upload('POST'));
  expect(allowed.stdout).toContain('< HTTP/1.1 100 Continue');
  expect(allowed.stdout).toContain('POST 2000000 /up');
  const { path } = {
    path: stage.place.file('no-put.yaml', `deny_domain: [{ domain: ${OTHER}, methods: [PUT] }]\n`),
  };
  const denied = await stage.sh(upload('PUT'), { flags: ['--policy', path] });
  expect(denied.stdout).not.toContain('100 Continue');
  expect(denied.stdout).toContain('< HTTP/1.1 403');
  const [refusal] = facts(denied.events, 'request.refused');
  expect(refusal).toMatchObject({ reason: 'deny-rule', method: 'PUT' });
  expect(refusal?.request_bytes).toBeLessThan(2_000);
});

test('trailers of a chunked answer reach a client that asks for them', async () => {
  const request = `GET /trailers HTTP/1.1\r\nHost: ${NAME}\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n`;
  const { stdout } = await stage.sh(
    `printf '${request}' | openssl s_client -quiet -servername ${NAME} -connect ${NAME}:443 2>/dev/null`,
  );
  expect(stdout).toMatch(/5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n$/);
});
