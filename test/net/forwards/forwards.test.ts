import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  type ForwardEvent,
  type ForwardSpec,
  type Forwards,
  openForwards,
} from '../../../src/net/forwards/index.js';
import type { Vestibule } from '../../../src/net/vestibule/index.js';
import { type RunningCommand, startCommand } from '../../../src/vm/index.js';
import { openDoor, specOf } from '../../vm/door.js';

/** In the sandbox: counts what it gets until the end, then answers; echoes datagrams; says when it listens. */
const SERVICE = `
const net = require('node:net');
net.createServer({ allowHalfOpen: true }, s => {
  let bytes = 0;
  s.on('error', () => {});
  s.on('data', c => { bytes += c.length; });
  s.on('end', () => s.end('got ' + bytes));
}).listen(7001, '127.0.0.1', () => {
  net.createServer({ allowHalfOpen: true }, s => { s.on('error', () => {}); s.end('early'); s.on('data', c => console.log('after ' + c)); }).listen(7002, () => {
    const u = require('node:dgram').createSocket('udp4');
    u.on('message', (m, r) => u.send('re:' + m, r.port, r.address)).bind(7003, () => console.log('listening'));
  });
});
`;

let door: Vestibule;
let service: RunningCommand;
let forwards: Forwards;
const events: ForwardEvent[] = [];
const said: string[] = [];

const spec = (guestPort: number, protocol: 'tcp' | 'udp' = 'tcp'): ForwardSpec => ({
  hostIp: '127.0.0.1',
  hostPort: 0,
  guestPort,
  protocol,
});

const targetOf = ({ cell: { pid, userNamespace, tools } }: Vestibule) => ({
  pid,
  userNamespace,
  tools,
  address: '127.0.0.1',
});

beforeAll(async () => {
  door = await openDoor();
  service = await startCommand(door.cell, specOf(['node', '-e', SERVICE]));
  service.stdout?.on('data', chunk => said.push(String(chunk)));
  await once(service.stdout as NodeJS.ReadableStream, 'data');
  forwards = await openForwards(
    [spec(7001), spec(7002), spec(7003, 'udp'), spec(7999)],
    targetOf(door),
    event => {
      events.push(event);
    },
  );
});

afterAll(async () => {
  await forwards?.close();
  service?.kill('SIGKILL');
  await service?.exit;
  await door?.close();
});

function dial(index: number): Socket {
  const socket = connect({
    host: '127.0.0.1',
    port: forwards.open[index]?.hostPort ?? 0,
    allowHalfOpen: true,
  });
  socket.on('error', () => {});
  return socket;
}

test('a forward carries bytes in, and the answer that comes after their end', async () => {
  const socket = dial(0);
  const megabytes = Buffer.alloc(8 * 1024 * 1024, 1);
  socket.end(megabytes);
  expect(await text(socket)).toBe(`got ${megabytes.length}`);
});

test('a forward carries the end of the sandbox’s side alone, and what is sent after it', async () => {
  const socket = dial(1);
  let early = '';
  socket.on('data', chunk => {
    early += String(chunk);
  });
  await once(socket, 'end');
  expect(early).toBe('early');
  socket.end('late');
  for (let tries = 0; !said.join('').includes('after late') && tries < 200; tries += 1) {
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  expect(said.join('')).toContain('after late');
});

test('a forward carries datagrams both ways, for each peer its own', async () => {
  const peers = await Promise.all(
    ['a', 'b'].map(async name => {
      const socket = createSocket('udp4');
      socket.connect(forwards.open[2]?.hostPort ?? 0, '127.0.0.1');
      await once(socket, 'connect');
      socket.send(name);
      const [answer] = await once(socket, 'message');
      socket.close();
      return String(answer);
    }),
  );
  expect(peers).toEqual(['re:a', 're:b']);
});

test('a forward to a port that nobody listens on resets the connection', async () => {
  const socket = dial(3);
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});

test('a forward tells when a connection is opened and closed, and what went through', async () => {
  const socket = dial(0);
  const peer = await once(socket, 'connect').then(() => `127.0.0.1:${socket.localPort}`);
  socket.end('12345');
  await text(socket);
  for (let tries = 0; events.filter(event => event.peer === peer).length < 2 && tries < 200; tries += 1) {
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  expect(events.filter(event => event.peer === peer)).toMatchObject([
    { type: 'opened', forward: { guestPort: 7001 } },
    { type: 'closed', forward: { guestPort: 7001 }, receivedBytes: 5, sentBytes: 'got 5'.length },
  ]);
});

test('a forward of a port that is taken is refused by name, and leaves nothing open', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const opening = openForwards([spec(7001), { ...spec(7001), hostPort: port }], targetOf(door));
  await expect(opening).rejects.toMatchObject({
    code: 'NETWORK_CONFIG_INVALID',
    message: `port_forwards: tcp 127.0.0.1:${port} cannot be opened (EADDRINUSE)`,
  });
  taken.close();
});

test('the forwarder is in the sandbox’s network and the host’s sockets are closed with it', async () => {
  const own = await openForwards([spec(7001)], targetOf(door));
  const [{ hostPort } = { hostPort: 0 }] = own.open;
  const before = connect(hostPort, '127.0.0.1')
    .on('error', () => {})
    .resume();
  const gone = new Promise(resolve => before.once('close', resolve));
  await once(before, 'connect');
  await own.close();
  await own.close();
  await gone;
  const after = connect(hostPort, '127.0.0.1');
  const [error] = await once(after, 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  expect(existsSync(`/proc/${door.cell.pid}`)).toBe(true);
  expect(readlinkSync(`/proc/${door.cell.pid}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'));
});
