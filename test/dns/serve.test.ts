import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import fc from 'fast-check';
import { frameMessage, takeMessage } from '../../src/dns/framing.js';
import type { DnsRoom } from '../../src/dns/room.js';
import { serveDnsTcp, serveDnsUdp } from '../../src/dns/serve.js';
import { address, queryBytes, readReply, testRoom } from './support.js';

const QUERY = queryBytes('allowed.test', 1);

async function udpSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

async function tcpServer(room: DnsRoom, idleMs?: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, socket => void serveDnsTcp(socket, room, idleMs));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Writes `parts` one after the other and gives back all that came until the end of the connection. */
async function talk(server: Server, parts: readonly Uint8Array[], end = true): Promise<Buffer> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  for (const part of parts) {
    socket.write(part);
    await new Promise(resolve => setImmediate(resolve));
  }
  if (end) socket.end();
  const closed = once(socket, 'close');
  // A reset is one way to be closed; the assertion is on what came before it.
  socket.on('error', () => socket.destroy());
  await closed;
  return Buffer.concat(received);
}

function messages(bytes: Buffer): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let rest = bytes, one = takeMessage(rest); one !== null; one = takeMessage(rest)) {
    all.push(one);
    rest = rest.subarray(2 + one.length);
  }
  return all;
}

test('a datagram is answered to where it came from, and junk does not stop the next', async () => {
  const { room } = testRoom();
  const [server, client] = [await udpSocket(), await udpSocket()];
  const served = serveDnsUdp(server, room);
  const { port } = server.address();
  client.send(Buffer.alloc(1400, 0x41), port, '127.0.0.1');
  client.send(Buffer.alloc(0), port, '127.0.0.1');
  client.send(QUERY, port, '127.0.0.1');
  const replies: Buffer[] = [];
  while (replies.at(-1)?.readUInt16BE(0) !== 0x1234) {
    const [reply] = (await once(client, 'message')) as [Buffer];
    replies.push(reply);
  }
  expect(readReply(replies.at(-1) ?? Buffer.alloc(0)).data).toEqual(['198.18.0.1']);
  served.close();
  server.close();
  client.close();
});

test('no more than 256 datagrams wait for an answer at a time', async () => {
  let begun = 0;
  const { room } = testRoom();
  const stuck: DnsRoom = { ...room, answer: () => new Promise(() => (begun += 1)) };
  const server = await udpSocket();
  const served = serveDnsUdp(server, stuck);
  for (let i = 0; i < 300; i++) server.emit('message', QUERY, { port: 9, address: '127.0.0.1' });
  expect(begun).toBe(256);
  served.close();
  server.emit('message', QUERY, { port: 9, address: '127.0.0.1' });
  expect(begun).toBe(256);
  server.close();
});

describe('over TCP', () => {
  let server: Server;
  const { room, asked } = testRoom({ limits: { queriesPerSecond: 1e6, burst: 1e6, names: 10, streams: 64 } });
  beforeAll(async () => {
    server = await tcpServer(room);
  });
  afterAll(() => void server.close());

  test('three hundred pipelined queries are answered in order', async () => {
    const queries = Array.from({ length: 300 }, (_, id) =>
      frameMessage(queryBytes('allowed.test', 1, { id })),
    );
    const replies = messages(await talk(server, [Buffer.concat(queries)]));
    expect(replies.map(reply => readReply(reply).packet.id)).toEqual(queries.map((_, id) => id));
    expect(asked).toEqual([]);
    expect(room.nameOf(address('198.18.0.1'))).toBe('allowed.test');
  });

  test.each([
    ['a length of zero', '0000'],
    ['a length that no query has', `ffff${QUERY.toString('hex')}`],
    ['a message that is no DNS', `000b${Buffer.from('SSH-2.0-x\r\n').toString('hex')}`],
    ['an answer', `001e${queryBytes('allowed.test', 1, { flags: 0x8180 }).toString('hex')}`],
  ])('%s closes the connection without an answer, though the client keeps it open', async (_name, hex) => {
    expect(await talk(server, [Buffer.from(hex, 'hex')], false)).toHaveLength(0);
  });

  test('it does not matter into which segments the bytes were cut', async () => {
    const stream = Buffer.concat([frameMessage(QUERY), frameMessage(queryBytes('evil.test', 28))]);
    const whole = await talk(server, [stream]);
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(cuts, async at => {
        const borders = [0, ...at.sort((a, b) => a - b), stream.length];
        const parts = borders.slice(1).map((end, i) => stream.subarray(borders[i], end));
        expect(await talk(server, parts)).toEqual(whole);
      }),
      { seed: 53, numRuns: 25 },
    );
  });
});

test('a connection that does not finish its message is closed, whatever trickles in', async () => {
  const server = await tcpServer(testRoom().room, 60);
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => socket.destroy());
  const trickle = setInterval(() => socket.write(Buffer.of(0)), 20);
  socket.write(Buffer.of(0, 200));
  // A piece that meets the closed connection is answered by a reset: closed is closed.
  await new Promise(resolve => socket.once('close', resolve));
  clearInterval(trickle);
  server.close();
});

test('no more connections are open at a time than the room admits, and one that ends makes room', async () => {
  const { room, facts } = testRoom({
    limits: { queriesPerSecond: 100, burst: 100, names: 10, streams: 1 },
  });
  const server = await tcpServer(room);
  const { port } = server.address() as AddressInfo;
  const first = connect({ port, host: '127.0.0.1' });
  first.write(frameMessage(QUERY));
  await once(first, 'data');
  expect(await talk(server, [frameMessage(QUERY)], false)).toHaveLength(0);
  expect(facts.at(-1)).toMatchObject({ type: 'dns.refused', network: { reason: 'LIMIT_EXCEEDED' } });
  first.end();
  await once(first, 'close');
  expect(messages(await talk(server, [frameMessage(QUERY)]))).toHaveLength(1);
  server.close();
});

test('messages of any length come back out of their frames', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70_000, size: 'max' }), bytes => {
      const message = bytes.subarray(0, 65_535);
      expect(takeMessage(frameMessage(message))).toEqual(message);
      expect(takeMessage(frameMessage(message).subarray(0, -1))).toBeNull();
    }),
    { seed: 53, numRuns: 30 },
  );
});
