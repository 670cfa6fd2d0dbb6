import { once } from 'node:events';
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { documentFrom } from '../../src/policy/document.js';
import type { PolicyDocument } from '../../src/policy/policy.js';
import { type Bench, type BenchOptions, openBench } from '../support/bench.js';
import { raw } from '../support/upstream.js';

const TLS = { host: 'allowed.test', port: 443 };
const PLAIN = { host: 'allowed.test', port: 80 };

function layer(policy: object): PolicyDocument {
  const document = documentFrom(policy, 'reloaded');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  return document.value;
}

const get = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: allowed.test\r\n\r\n`);

/** One request on a connection that stays open: its status. */
async function ask(socket: Duplex, path: string): Promise<number> {
  socket.write(get(path));
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(chunk.toString('latin1'))?.[1]);
}

async function askH2(session: http2.ClientHttp2Session, path: string): Promise<number> {
  const stream = session.request({ ':path': path, ':authority': 'allowed.test' });
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  stream.resume();
  await once(stream, 'close');
  return Number(headers[':status']);
}

async function h2Session(bench: Bench): Promise<http2.ClientHttp2Session> {
  const socket = await bench.connectTls(TLS, { alpn: ['h2'] });
  const session = http2.connect('https://allowed.test', { createConnection: () => socket });
  session.on('error', () => undefined); // It is cut when the bench closes.
  return session;
}

async function closed(options: BenchOptions, work: (bench: Bench) => Promise<void>): Promise<void> {
  await using bench = await openBench(options);
  await work(bench);
}

const CLOSED_POLICIES: readonly (readonly [what: string, policy: object])[] = [
  ['an empty policy', {}],
  ['empty lists', { allow_domain: [], allow_cidr: [], deny_domain: [] }],
  ['a policy that only denies', { deny_domain: ['evil.test'] }],
];

test.each(CLOSED_POLICIES)('%s lets nothing through and dials nothing', (_what, policy) =>
  closed({ policy }, async bench => {
    const { statuses } = await raw(await bench.connect(PLAIN), get('/'));
    expect(statuses.filter(status => status < 400)).toEqual([]);
    await expect(bench.connectTls(TLS)).rejects.toThrow();
    expect(bench.dialled).toEqual([]);
    expect(bench.plain.requests).toEqual([]);
  }),
);

test('a name that moves to a private address is denied at its next connection, and nothing is dialled', () => {
  let addresses = ['93.184.215.14'];
  return closed({ policy: { allow_domain: ['allowed.test'] }, resolve: () => addresses }, async bench => {
    expect((await raw(await bench.connect(PLAIN), get('/1'))).statuses).toEqual([200]);
    for (const moved of [
      ['10.0.0.1'],
      ['93.184.215.14', '127.0.0.1'],
      ['169.254.169.254'],
      ['fd00:ec2::254'],
      ['::ffff:10.0.0.1'],
    ]) {
      addresses = moved;
      // The pool holds a connection to where the name was: a reload, as its age would, lets go of it.
      await bench.gateway.reload([layer({ allow_domain: ['allowed.test'] })]);
      bench.clear();
      expect((await raw(await bench.connect(PLAIN), get('/2'))).statuses).toEqual([403]);
      expect(bench.dialled).toEqual([]);
      const refused = bench.events.find(({ type }) => type === 'request.refused');
      expect(refused?.network?.reason).toMatch(/^(?:private|metadata)-address$/);
    }
  });
});

test('a look-up without an answer is an error, and nothing is dialled', () =>
  closed({ policy: { allow_domain: ['allowed.test'] }, resolve: () => [] }, async bench => {
    expect((await raw(await bench.connect(PLAIN), get('/'))).statuses).toEqual([502]);
    expect(bench.dialled).toEqual([]);
  }));

const PATHS = { allow_domain: [{ domain: 'allowed.test', paths: ['/open/*'] }] };

test('a path that no rule names is refused alike over HTTP, HTTPS, HTTP/2, a proxy, CONNECT and as a WebSocket', () =>
  closed({ policy: PATHS }, async bench => {
    const upgrade =
      'GET /shut/ws HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    const status = async (socket: Duplex, bytes: Uint8Array): Promise<number | undefined> =>
      (await raw(socket, bytes)).statuses.at(-1);
    const session = await h2Session(bench);
    const tunnelled =
      'CONNECT allowed.test:80 HTTP/1.1\r\nHost: allowed.test:80\r\n\r\nGET /shut HTTP/1.1\r\nHost: allowed.test\r\n\r\n';
    const absolute = 'GET http://allowed.test/shut HTTP/1.1\r\nHost: allowed.test\r\n\r\n';
    const seen = [
      await status(await bench.connect(PLAIN), get('/shut')),
      await status(await bench.connectTls(TLS), get('/shut')),
      await askH2(session, '/shut'),
      await status(await bench.connectProxy(), Buffer.from(absolute)),
      Number(
        /403 /.exec(
          (await raw(await bench.connectProxy(), Buffer.from(tunnelled))).bytes.toString('latin1'),
        )?.[0],
      ),
      await status(await bench.connectTls(TLS), Buffer.from(upgrade)),
    ];
    session.destroy();
    expect(seen).toEqual([403, 403, 403, 403, 403, 403]);
    expect(bench.dialled).toEqual([]);
    const reasons = bench.events
      .filter(({ type }) => type === 'request.refused')
      .map(({ network }) => network?.reason);
    expect(reasons).toEqual(Array(6).fill('path-not-allowed'));
  }));

test('a reload is seen by the next request of every open connection, and by the pool', () =>
  closed({ policy: PATHS }, async bench => {
    const socket = await bench.connectTls(TLS);
    const session = await h2Session(bench);
    expect([await ask(socket, '/open/1'), await askH2(session, '/open/2')]).toEqual([200, 200]);
    await bench.gateway.reload([layer({ allow_domain: [{ domain: 'allowed.test', paths: ['/later/*'] }] })]);
    bench.clear();
    expect([await askH2(session, '/open/3'), await askH2(session, '/later/4')]).toEqual([403, 200]);
    expect(await ask(socket, '/later/5')).toBe(200);
    expect(await ask(socket, '/open/6')).toBe(403);
    // What the old policy dialled serves nobody under the new one.
    expect(bench.dialled.length).toBeGreaterThan(0);
    const generations = bench.events
      .filter(({ type }) => type.startsWith('request.'))
      .map(({ network }) => network?.generation);
    expect(new Set(generations)).toEqual(new Set([2]));
    session.destroy();
    socket.destroy();
  }));

test('a reload that fails keeps the old policy, says so, and opens nothing', () =>
  closed({ policy: PATHS }, async bench => {
    const broken = layer({
      secrets: { TOKEN: { hosts: ['allowed.test'], value_from: { env: 'ABSENT' } } },
      mode: 'allow_all',
    });
    await expect(bench.gateway.reload([broken])).rejects.toMatchObject({ code: 'SECRET_UNAVAILABLE' });
    expect(bench.events.map(({ type }) => type)).toContain('policy.refused');
    expect((await raw(await bench.connect(PLAIN), get('/open/1'))).statuses).toEqual([200]);
    expect((await raw(await bench.connect(PLAIN), get('/shut'))).statuses).toEqual([403]);
  }));

test('requests in one segment are decided one by one, and none is read behind a refusal', () =>
  closed({ policy: PATHS }, async bench => {
    const bytes = Buffer.concat([get('/open/1'), get('/shut'), get('/open/2')]);
    const { statuses, closed: ended } = await raw(await bench.connectTls(TLS), bytes, {
      halfCloseAfterMs: null,
    });
    expect({ statuses, ended }).toEqual({ statuses: [200, 403], ended: true });
    expect(bench.secure.requests.map(({ target }) => target)).toEqual(['/open/1']);
  }));

test('an address that a cloud answers on is no target, whatever rule names it', () =>
  closed(
    {
      policy: {
        mode: 'allow_all',
        allow_cidr: ['169.254.0.0/16', 'fd00::/8', '168.63.129.16/32'],
        block_private_ips: false,
      },
    },
    async bench => {
      for (const address of ['169.254.169.254', 'fd00:ec2::254', '168.63.129.16']) {
        const socket = await bench.connect({ host: null, port: 80, address });
        socket.write(
          `GET /latest/meta-data HTTP/1.1\r\nHost: ${address.includes(':') ? `[${address}]` : address}\r\n\r\n`,
        );
        await raw(socket, Buffer.alloc(0));
      }
      await delay(20);
      expect(bench.dialled).toEqual([]);
      const reasons = bench.events.map(({ network }) => network?.reason).filter(reason => reason != null);
      expect(new Set(reasons)).toEqual(new Set(['metadata-address']));
    },
  ));
