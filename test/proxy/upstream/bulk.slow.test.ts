/** Bodies far larger than memory should be: both ways, both versions, with what they cost printed. */
import { Readable } from 'node:stream';
import type { Upstream } from '../../../src/proxy/upstream/upstream.js';
import { makeTestCa, startH2Server, startTlsServer } from '../../support/tls.js';
import { NEVER, outboundOf, requestOf, upstreamTo } from './support.js';

const ca = makeTestCa();
const TOTAL = 2 * 1024 ** 3;
const PIECE = Buffer.alloc(65_536, 0x61);
const MIB = 1 << 20;

function source(): Readable {
  let made = 0;
  return new Readable({
    highWaterMark: 262_144,
    read() {
      made += PIECE.length;
      this.push(made > TOTAL ? null : PIECE);
    },
  });
}

/** Runs `work`; fails when memory outside the heap grows as the body does. */
async function flat(name: string, work: () => Promise<void>): Promise<void> {
  let peak = 0;
  const before = process.memoryUsage().rss;
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss - before);
  }, 20);
  const from = performance.now();
  await work();
  clearInterval(watch);
  const seconds = (performance.now() - from) / 1000;
  process.stdout.write(
    `${name}: ${(TOTAL / MIB / seconds).toFixed(0)} MiB/s, +${(peak / MIB).toFixed(0)} MiB\n`,
  );
  expect(peak).toBeLessThan(256 * MIB);
}

async function download(upstream: Upstream, version: '1.1' | '2'): Promise<void> {
  const answer = await upstream.send(requestOf(outboundOf({ version })), NEVER);
  let bytes = 0;
  for await (const chunk of answer.body as Readable) bytes += (chunk as Buffer).length;
  expect(bytes).toBe(TOTAL);
}

async function upload(upstream: Upstream, version: '1.1' | '2'): Promise<void> {
  const framing = { kind: 'length', bytes: TOTAL } as const;
  const outbound = outboundOf({ version, method: 'PUT', body: source(), framing });
  const answer = await upstream.send(requestOf(outbound), NEVER);
  expect(answer.head.status).toBe(204);
}

test('2 GiB cross an HTTP/1.1 connection each way in flat memory', async () => {
  const server = await startTlsServer({
    ca,
    names: ['api.test'],
    alpn: ['http/1.1'],
    handler: socket => {
      let left = 0;
      socket.once('data', (chunk: Buffer) => {
        if (chunk.subarray(0, 3).toString() === 'GET') {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
          source().pipe(socket, { end: false });
          return;
        }
        left = TOTAL - (chunk.length - chunk.indexOf('\r\n\r\n') - 4);
        socket.on('data', more => {
          left -= more.length;
          if (left === 0) socket.write('HTTP/1.1 204 No Content\r\n\r\n');
        });
      });
    },
  });
  const upstream = upstreamTo(server.port, ca.rootPem);
  await flat('HTTP/1.1 down', () => download(upstream, '1.1'));
  upstream.closeSandbox('a');
  await flat('HTTP/1.1 up', () => upload(upstream, '1.1'));
  upstream.close();
  await server.close();
});

test('2 GiB cross an HTTP/2 connection each way in flat memory', async () => {
  const server = await startH2Server({
    ca,
    names: ['api.test'],
    settings: { initialWindowSize: MIB },
    onSession: session => session.setLocalWindowSize(8 * MIB),
    onStream: (stream, headers) => {
      if (headers[':method'] === 'GET') {
        stream.respond({ ':status': 200 });
        source().pipe(stream);
      } else {
        stream.resume().on('end', () => stream.respond({ ':status': 204 }, { endStream: true }));
      }
    },
  });
  const upstream = upstreamTo(server.port, ca.rootPem);
  await flat('HTTP/2 down', () => download(upstream, '2'));
  await flat('HTTP/2 up', () => upload(upstream, '2'));
  upstream.close();
  await server.close();
});
