import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTrust } from '../../../src/proxy/upstream/trust.js';
import {
  issue,
  type LeafOptions,
  makeTestCa,
  selfSigned,
  startTlsServer,
  type TlsServerOptions,
} from '../../support/tls.js';
import { authorityOf, NEVER, outboundOf, rawServer, requestOf, upstreamTo } from './support.js';

const root = makeTestCa();
const intermediate = makeTestCa({ issuer: root });
const SECRET = 'Bearer very-secret-value';

interface Case {
  readonly name: string;
  readonly host?: string;
  readonly leaf: LeafOptions;
  readonly server?: Partial<TlsServerOptions>;
  readonly want: RegExp;
}

const WRONG_NAME = /does not name it/;
const UNKNOWN = /authority that is not trusted/;
const constrained = makeTestCa({ issuer: root, permittedDns: ['inside.test'] });
const notAnAuthority = makeTestCa({ issuer: root, notAnAuthority: true });
const right = { names: ['api.test'] };

const refused: readonly Case[] = [
  { name: 'another name', leaf: { names: ['other.test'] }, want: WRONG_NAME },
  { name: 'the parent name only', leaf: { names: ['test'] }, want: WRONG_NAME },
  {
    name: 'a name that ends in ours',
    leaf: { names: ['xapi.test', 'api.test.evil.test'] },
    want: WRONG_NAME,
  },
  {
    name: 'a wildcard two levels up',
    host: 'a.b.api.test',
    leaf: { names: ['*.api.test'] },
    want: WRONG_NAME,
  },
  { name: 'a wildcard for the apex', leaf: { names: ['*.api.test'] }, want: WRONG_NAME },
  {
    name: 'a wildcard inside a label',
    host: 'www.api.test',
    leaf: { names: ['w*.api.test'] },
    want: WRONG_NAME,
  },
  { name: 'a wildcard for a whole top level', leaf: { names: ['*.test'] }, want: WRONG_NAME },
  { name: 'our name as the common name only', leaf: { names: [], commonName: 'api.test' }, want: WRONG_NAME },
  {
    name: 'our name as the common name beside another alternative name',
    leaf: { names: ['other.test'], commonName: 'api.test' },
    want: WRONG_NAME,
  },
  { name: 'an address where a name was decided', leaf: { names: ['203.0.113.7'] }, want: WRONG_NAME },
  {
    name: 'a name where an address was decided',
    host: '203.0.113.7',
    leaf: { names: ['api.test'] },
    want: WRONG_NAME,
  },
  {
    name: 'the address as the common name',
    host: '203.0.113.7',
    leaf: { names: ['api.test'], commonName: '203.0.113.7' },
    want: WRONG_NAME,
  },
  { name: 'another address', host: '[2001:db8::7]', leaf: { names: ['2001:db8::8'] }, want: WRONG_NAME },
  {
    name: 'an expired certificate',
    leaf: { ...right, validFromDays: -9, validToDays: -1 },
    want: /has expired/,
  },
  { name: 'a certificate of tomorrow', leaf: { ...right, validFromDays: 1 }, want: /not valid yet/ },
  {
    name: 'a certificate for clients',
    leaf: { ...right, purpose: 'clientAuth' },
    want: /not one for servers/,
  },
  { name: 'an unknown authority', leaf: right, server: { ca: makeTestCa() }, want: UNKNOWN },
  {
    name: 'an unknown authority with the name of ours',
    leaf: right,
    server: { ca: makeTestCa({ name: root.name }) },
    want: /not trusted/,
  },
  {
    name: 'a certificate signed by itself',
    leaf: right,
    server: { certificate: selfSigned(right) },
    want: /signed by itself/,
  },
  {
    name: 'a name outside its authority’s constraints',
    leaf: right,
    server: { ca: constrained },
    want: /not trusted/,
  },
  { name: 'an issuer that may not issue', leaf: right, server: { ca: notAnAuthority }, want: /not trusted/ },
  {
    name: 'a missing intermediate',
    leaf: right,
    server: { ca: { ...intermediate, chainPem: '' } },
    want: UNKNOWN,
  },
  { name: 'an RSA key of 1024 bits', leaf: { ...right, key: 'rsa-1024' }, want: /not trusted/ },
  { name: 'a SHA-1 signature', leaf: { ...right, hash: 'sha1' }, want: /not trusted/ },
  {
    name: 'TLS 1.1',
    leaf: right,
    server: { tls: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } },
    want: /not trusted/,
  },
  {
    name: 'no TLS cipher but a weak one',
    leaf: right,
    server: { tls: { maxVersion: 'TLSv1.2', ciphers: 'NULL-SHA256:AES128-SHA:@SECLEVEL=0' } },
    want: /not trusted/,
  },
];

for (const version of ['1.1', '2'] as const) {
  for (const { name, host = 'api.test', leaf, server: over, want } of refused) {
    test(`an upstream with ${name} is refused before a byte of a request by HTTP/${version}`, async () => {
      const server = await startTlsServer({ ca: root, ...leaf, leaf, alpn: ['h2', 'http/1.1'], ...over });
      const upstream = upstreamTo(server.port, root.rootPem);
      const outbound = outboundOf({
        authority: authorityOf(host),
        version,
        headers: [['Authorization', SECRET]],
      });
      const error: unknown = await upstream
        .send(requestOf(outbound), NEVER)
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'UPSTREAM_UNTRUSTED', message: expect.stringMatching(want) });
      expect(String(error)).not.toContain(SECRET);
      upstream.close();
      await server.close();
      expect(server.seen.bytes).toBe(0);
    });
  }
}

const accepted: readonly (Omit<Case, 'want'> & { readonly roots?: string })[] = [
  { name: 'our name', leaf: right },
  { name: 'our name among others', leaf: { names: ['x.test', 'api.test'] } },
  { name: 'our name in upper case', leaf: { names: ['API.Test'] } },
  { name: 'a wildcard one level up', host: 'a.api.test', leaf: { names: ['*.api.test'] } },
  { name: 'the address that was decided', host: '203.0.113.7', leaf: { names: ['203.0.113.7'] } },
  { name: 'the IPv6 address that was decided', host: '[2001:db8::7]', leaf: { names: ['2001:db8::7'] } },
  { name: 'an intermediate', leaf: right, server: { ca: intermediate } },
  {
    name: 'a name inside its authority’s constraints',
    host: 'a.inside.test',
    leaf: { names: ['a.inside.test'] },
    server: { ca: constrained },
  },
  { name: 'an RSA key of 2048 bits', leaf: { ...right, key: 'rsa-2048' } },
  { name: 'TLS 1.2', leaf: right, server: { tls: { maxVersion: 'TLSv1.2' } } },
];

for (const { name, host = 'api.test', leaf, server: over } of accepted) {
  test(`an upstream with ${name} is trusted`, async () => {
    const server = await startTlsServer({
      ca: root,
      ...leaf,
      leaf,
      alpn: ['http/1.1'],
      handler: socket => socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n')),
      ...over,
    });
    const upstream = upstreamTo(server.port, root.rootPem);
    const answer = await upstream.send(
      requestOf(outboundOf({ authority: authorityOf(host), version: '1.1' })),
      NEVER,
    );
    expect(answer.head.status).toBe(204);
    upstream.close();
    await server.close();
    // An address is never sent as a server name (RFC 6066 §3).
    expect(server.seen.names).toEqual([/^[[\d]/.test(host) ? false : host]);
  });
}

test('a certificate that signs itself is trusted when the operator names it', async () => {
  const certificate = selfSigned(right);
  const server = await startTlsServer({
    ca: root,
    names: [],
    certificate,
    handler: socket => socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n')),
  });
  const upstream = upstreamTo(server.port, certificate.certPem);
  const answer = await upstream.send(requestOf(outboundOf({ version: '1.1' })), NEVER);
  expect(answer.head.status).toBe(204);
  upstream.close();
  await server.close();
});

test('an upstream cannot change its certificate on a connection that was verified', async () => {
  const server = await startTlsServer({
    ca: root,
    ...right,
    tls: { maxVersion: 'TLSv1.2' },
    handler: socket => {
      socket.once('data', () => socket.renegotiate({}, () => {}));
      socket.on('error', () => {});
    },
  });
  const upstream = upstreamTo(server.port, root.rootPem);
  const sent = upstream.send(requestOf(outboundOf({ version: '1.1' })), AbortSignal.timeout(300));
  await expect(sent).rejects.toMatchObject({ name: 'GatewayError' });
  upstream.close();
  await server.close();
  expect(server.seen.handshakes).toBe(1);
});

const cutOff: [name: string, onSocket: (socket: net.Socket) => void, why: RegExp][] = [
  ['says nothing', () => {}, /took too long/],
  ['hangs up', socket => socket.destroy(), /could not be reached/],
  ['resets', socket => socket.resetAndDestroy(), /could not be reached/],
];

for (const [name, onSocket, why] of cutOff) {
  test(`an upstream that ${name} in the handshake is unreachable`, async () => {
    const server = await rawServer(onSocket);
    const upstream = upstreamTo(server.port, root.rootPem, { times: { handshakeMs: 100 } });
    const sent = upstream.send(requestOf(outboundOf()), NEVER);
    await expect(sent).rejects.toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringMatching(why),
    });
    upstream.close();
    await server.close();
  });
}

test('an upstream that answers a handshake with plain HTTP is not trusted', async () => {
  const server = await rawServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const upstream = upstreamTo(server.port, root.rootPem);
  const sent = upstream.send(requestOf(outboundOf()), NEVER);
  await expect(sent).rejects.toMatchObject({ code: 'UPSTREAM_UNTRUSTED' });
  upstream.close();
  await server.close();
});

describe('loadTrust', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-trust-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('adds the certificates of a file to the system’s roots', async () => {
    const file = join(folder, 'extra.pem');
    await writeFile(file, `# ours\n${root.rootPem}${makeTestCa().rootPem}`);
    await expect(loadTrust([file], {})).resolves.toMatchObject({ context: expect.anything() });
  });

  const bad: [name: string, content: string | null, want: RegExp][] = [
    ['a file that is not there', null, /cannot be read \(ENOENT\)/],
    ['a file without a certificate', 'hello', /holds no PEM certificate/],
    ['a file with a key only', issue(root, right).keyPem, /holds no PEM certificate/],
    [
      'a certificate that is not one',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      /holds a certificate that cannot be read/,
    ],
  ];
  for (const [name, content, want] of bad) {
    test(`refuses ${name}`, async () => {
      const file = join(folder, 'bad.pem');
      await rm(file, { force: true });
      if (content !== null) await writeFile(file, content);
      const loading = loadTrust([file], {});
      await expect(loading).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(want),
      });
    });
  }

  test('refuses an environment that turns verification off', async () => {
    const loading = loadTrust([], { NODE_TLS_REJECT_UNAUTHORIZED: '0' });
    await expect(loading).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
