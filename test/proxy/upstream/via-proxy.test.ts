import http from 'node:http';
import net from 'node:net';
import { type ProxyRoutes, parseNoProxy, parseProxyUrl } from '../../../src/policy/proxy-routes.js';
import { trustRoots } from '../../../src/proxy/upstream/trust.js';
import { createUpstream, type Upstream } from '../../../src/proxy/upstream/upstream.js';
import { makeTestCa, startTlsServer } from '../../support/tls.js';
import {
  ALLOW,
  authorityOf,
  bytesOf,
  DENY,
  diallerTo,
  ip,
  NEVER,
  outboundOf,
  rawServer,
  requestOf,
  resolverOf,
} from './support.js';

const ca = makeTestCa();
const EMPTY = 'HTTP/1.1 204 No Content\r\n\r\n';

let closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
});

/** A real CONNECT proxy on loopback that reaches `port` whatever is asked for, with credentials `user:pass`. */
async function connectProxy(port: number): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const server = http.createServer().on('connect', (request, socket: net.Socket) => {
    socket.on('error', () => {});
    if (request.headers['proxy-authorization'] !== 'Basic dXNlcjpwYXNz') {
      return void socket.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n',
      );
    }
    asked.push(request.url ?? '');
    const onward = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise(resolve => server.close(resolve)));
  return { port: (server.address() as net.AddressInfo).port, asked };
}

function routesTo(url: string, noProxy: readonly string[] = []): ProxyRoutes {
  const [proxy, bypass] = [parseProxyUrl(url), parseNoProxy(noProxy)];
  if (!proxy.ok || !bypass.ok) throw new TypeError(url);
  return { http: proxy.value, https: proxy.value, bypass: bypass.value };
}

const ROUTES = routesTo('http://user:pass@10.0.0.9:3128', ['direct.test']);

function throughPort(port: number): { upstream: Upstream; dialled: string[]; asked: string[] } {
  const { dial, dialled } = diallerTo(port);
  const resolver = resolverOf({ 'direct.test': ['203.0.113.1'] });
  const upstream = createUpstream({ resolver, trust: trustRoots([ca.rootPem]), dialler: dial });
  closing.push(() => upstream.close());
  return { upstream, dialled, asked: resolver.asked };
}

async function tlsServer(name = 'api.test'): Promise<number> {
  const server = await startTlsServer({
    ca,
    names: [name],
    alpn: ['http/1.1'],
    handler: socket => socket.on('data', () => socket.write(EMPTY)),
  });
  closing.push(() => server.close());
  return server.port;
}

test('a request goes through the proxy by its decided name, which is not looked up here', async () => {
  const proxy = await connectProxy(await tlsServer());
  const { upstream, dialled, asked } = throughPort(proxy.port);
  for (let i = 0; i < 2; i++) {
    const answer = await upstream.send(requestOf(outboundOf({ version: '1.1' }), { routes: ROUTES }), NEVER);
    expect(answer.head.status).toBe(204);
    expect(answer.dialled.address.text).toBe('10.0.0.9');
  }
  expect(proxy.asked).toEqual(['api.test:443']);
  expect(dialled).toEqual(['10.0.0.9:3128']);
  expect(asked).toEqual([]);
});

test('the certificate behind the proxy is verified against the decided name', async () => {
  const proxy = await connectProxy(await tlsServer('other.test'));
  const { upstream } = throughPort(proxy.port);
  const sent = upstream.send(requestOf(outboundOf({ version: '1.1' }), { routes: ROUTES }), NEVER);
  await expect(sent).rejects.toMatchObject({ code: 'UPSTREAM_UNTRUSTED' });
});

test('plain HTTP and tunnels go through the proxy too, server-first ones included', async () => {
  const server = await rawServer(socket => {
    socket.write('220 hello\r\n');
    socket.on('data', data => socket.end(data));
  });
  closing.push(() => server.close());
  const proxy = await connectProxy(server.port);
  const { upstream } = throughPort(proxy.port);
  const host = authorityOf('mail.test').host;
  const tunnel = { sandbox: 'a', host, port: 25, decideDial: () => ALLOW, pin: null, routes: ROUTES };
  const { socket } = await upstream.openTunnel(tunnel, NEVER);
  socket.end('bye');
  expect((await bytesOf(socket)).toString()).toBe('220 hello\r\nbye');
  expect(proxy.asked).toEqual(['mail.test:25']);
});

const direct: [name: string, host: string, pin: string | null, routes: ProxyRoutes | null][] = [
  ['without routes', 'direct.test', null, null],
  ['for a host of no_proxy', 'direct.test', null, ROUTES],
  ['for a host that the operator pinned', 'api.test', '203.0.113.1', ROUTES],
  ['for a scheme without a proxy', 'direct.test', null, { ...ROUTES, https: null }],
];

for (const [name, host, pin, routes] of direct) {
  test(`an upstream is dialled directly ${name}`, async () => {
    const { upstream, dialled } = throughPort(await tlsServer(host));
    const outbound = outboundOf({ version: '1.1', authority: authorityOf(host) });
    const over = { routes, pin: pin === null ? null : { address: ip(pin), port: null } };
    expect((await upstream.send(requestOf(outbound, over), NEVER)).head.status).toBe(204);
    expect(dialled).toEqual(['203.0.113.1:443']);
  });
}

test('a literal is asked about before the proxy hears of it', async () => {
  const proxy = await connectProxy(await tlsServer('203.0.113.7'));
  const { upstream, dialled } = throughPort(proxy.port);
  const outbound = outboundOf({ version: '1.1', authority: authorityOf('203.0.113.7:8443') });
  const denied = upstream.send(requestOf(outbound, { routes: ROUTES, decideDial: () => DENY }), NEVER);
  await expect(denied).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
  expect(dialled).toEqual([]);
  await upstream.send(requestOf(outbound, { routes: ROUTES }), NEVER);
  expect(proxy.asked).toEqual(['203.0.113.7:8443']);
});

test('a proxy that wants other credentials is said to, without saying ours', async () => {
  const proxy = await connectProxy(1);
  const { upstream } = throughPort(proxy.port);
  const routes = routesTo('http://user:wrong-hush@10.0.0.9:3128');
  const error: unknown = await upstream
    .send(requestOf(outboundOf(), { routes }), NEVER)
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: 'UPSTREAM_UNREACHABLE',
    message: 'api.test:443 could not be reached: the proxy 10.0.0.9:3128 wants other credentials (407)',
  });
  expect(String((error as Error).stack)).not.toContain('hush');
});

const answers: [name: string, answer: (socket: net.Socket) => void, why: RegExp][] = [
  ['refuses', socket => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'), /refused \(403\)/],
  ['hangs up', socket => socket.destroy(), /hung up/],
  ['ends in its head', socket => socket.end('HTTP/1.1 200 OK\r\n'), /hung up/],
  ['is not one', socket => socket.end('SSH-2.0-x\r\n\r\n'), /did not answer CONNECT/],
  ['talks without end', socket => socket.write(Buffer.alloc(20_000, 'x')), /did not answer CONNECT/],
  [
    'speaks after its head, before a handshake',
    socket => socket.write(`HTTP/1.1 200 OK\r\n\r\nEVIL`),
    /before the TLS handshake/,
  ],
];

for (const [name, answer, why] of answers) {
  test(`a request fails where the proxy ${name}`, async () => {
    const server = await rawServer(socket => socket.once('data', () => answer(socket)));
    closing.push(() => server.close());
    const { upstream } = throughPort(server.port);
    const sent = upstream.send(requestOf(outboundOf(), { routes: ROUTES }), NEVER);
    await expect(sent).rejects.toMatchObject({ name: 'GatewayError', message: expect.stringMatching(why) });
  });
}

test('waiting for a proxy ends when the caller leaves', async () => {
  const server = await rawServer();
  closing.push(() => server.close());
  const { upstream } = throughPort(server.port);
  const leaving = new AbortController();
  const sent = upstream.send(requestOf(outboundOf({ version: '1.1' }), { routes: ROUTES }), leaving.signal);
  setTimeout(() => leaving.abort(), 50);
  await expect(sent).rejects.toMatchObject({ code: 'CLIENT_ABORTED' });
});
