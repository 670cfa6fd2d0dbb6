/** onMessage in whole gateways: server-sent events and WebSockets, held until the script has passed them. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { closePayload, emitFrame, OPCODE } from '../../src/proxy/websocket/frames.js';
import { MessageReader } from '../../src/proxy/websocket/messages.js';
import { HOST, openScriptBench, type ScriptBench } from '../support/script-bench.js';

const SCRIPT = `export function onMessage({ direction, kind, text, bytes, request }) {
  if (kind === 'binary') return bytes > 3 ? { deny: 'large' } : { pass: true };
  if (text.includes('forbidden')) return { deny: direction + ' ' + kind + ' ' + request.path };
  return { pass: true };
}`;

const MASK = Uint8Array.of(1, 2, 3, 4);

const sockets = new Set<Duplex>();
let server: http.Server;
let bench: ScriptBench;
let onEvents: (response: http.ServerResponse) => void = response => void response.end();
let upgraded: { readonly headers: http.IncomingHttpHeaders; readonly socket: Duplex }[] = [];

beforeAll(async () => {
  server = http.createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    onEvents(response);
  });
  server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('error', () => undefined); // A refused dialogue ends it.
    sockets.add(socket);
    upgraded.push({ headers: request.headers, socket });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  bench = await openScriptBench(SCRIPT, { route: () => ({ port }) });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  server.closeAllConnections();
  for (const socket of sockets) socket.destroy();
  await new Promise(resolve => server.close(resolve));
});
beforeEach(() => {
  bench.clear();
  upgraded = [];
});

async function terminal(): Promise<[string, string | null | undefined, number | undefined]> {
  for (let i = 0; i < 200; i++) {
    const event = bench.events.find(({ type }) => type.startsWith('request.'));
    if (event) return [event.type, event.network?.reason, event.network?.status_code];
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  return ['none', null, 0];
}

test('events pass one by one, as they were', async () => {
  const text = ': hello\n\ndata: one\n\nevent: x\r\ndata: two\r\ndata: three\r\n\r\ndata: rest';
  onEvents = response => {
    for (const piece of text.match(/.{1,7}/gs) ?? []) response.write(piece);
    response.end();
  };
  expect((await bench.ask('/sse')).body).toBe(text);
  expect(await terminal()).toEqual(['request.done', null, 200]);
});

test('the first event that is refused ends the answer before a byte of it', async () => {
  onEvents = response => void response.end('data: fine\n\ndata: for\ndata: forbidden\n\ndata: after\n\n');
  const seen = await bench.ask('/sse');
  expect(seen.body).toBe('data: fine\n\n');
  expect(await terminal()).toEqual(['request.refused', 'script', 200]);
});

test('an event without end is refused', async () => {
  onEvents = response => void response.end(`data: ${'x'.repeat(300_000)}`);
  expect((await bench.ask('/sse')).body).toBe('');
  expect(await terminal()).toEqual(['request.refused', 'script-error', 200]);
});

interface Dialogue {
  send(text: string, binary?: boolean): void;
  /** Texts, and `close CODE`. */
  readonly received: string[];
  readonly ended: Promise<unknown>;
  readonly upstream: Duplex;
}

async function open(): Promise<Dialogue> {
  const socket = await bench.connect({ host: HOST, port: 80 });
  const lines = [
    `GET /chat HTTP/1.1\r\nHost: ${HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13`,
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
  ];
  socket.write(lines.join('\r\n'));
  const reader = new MessageReader({ masked: false, maxBytes: 1_000_000 });
  const received: string[] = [];
  let head = Buffer.alloc(0);
  const opened = new Promise<void>(resolve => {
    socket.on('data', (chunk: Buffer) => {
      if (received.length === 0) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        received.push(head.toString('latin1', 9, 12));
        resolve();
        chunk = head.subarray(end + 4);
      }
      for (const message of reader.push(chunk).messages) received.push(told(message));
    });
  });
  socket.once('end', () => socket.end());
  const ended = once(socket, 'close');
  await opened;
  const [{ socket: upstream } = { socket }] = upgraded;
  const send = (text: string, binary = false): void => {
    const opcode = binary ? OPCODE.binary : OPCODE.text;
    socket.write(emitFrame({ fin: true, opcode, payload: Buffer.from(text) }, MASK));
  };
  return { send, received, ended, upstream };
}

function told(message: ReturnType<MessageReader['push']>['messages'][number]): string {
  if (message.kind !== 'control') return message.text ?? 'binary';
  const { buffer, byteOffset } = message.payload;
  return message.close ? `close ${new DataView(buffer, byteOffset).getUint16(0)}` : 'control';
}

test('messages pass both ways, and no extension stands in between', async () => {
  const { send, received, ended, upstream } = await open();
  expect(upgraded[0]?.headers['sec-websocket-extensions']).toBeUndefined();
  const reader = new MessageReader({ masked: true, maxBytes: 1_000 });
  upstream.on('data', chunk => {
    for (const message of reader.push(chunk as Buffer).messages) {
      if (message.kind === 'text')
        upstream.write(
          emitFrame({ fin: true, opcode: OPCODE.text, payload: Buffer.from(`echo ${message.text}`) }, null),
        );
    }
  });
  send('hello');
  send('abc', true);
  while (received.length < 2) await new Promise(resolve => setTimeout(resolve, 10));
  expect(received).toEqual(['101', 'echo hello']);
  upstream.end(emitFrame({ fin: true, opcode: OPCODE.close, payload: closePayload(1000) }, null));
  await ended;
  expect(await terminal()).toEqual(['request.done', null, 101]);
});

test('a message that is refused never arrives, and both sides are told 1008', async () => {
  const { send, received, ended, upstream } = await open();
  const bytes: Buffer[] = [];
  upstream.on('data', chunk => bytes.push(chunk as Buffer));
  send('fine');
  send('this is forbidden');
  await ended;
  expect(received).toEqual(['101', 'close 1008']);
  const { messages } = new MessageReader({ masked: true, maxBytes: 1_000 }).push(Buffer.concat(bytes));
  expect(messages.map(told)).toEqual(['fine', 'close 1008']);
  expect(await terminal()).toEqual(['request.refused', 'script', 101]);
});

test('what an upstream says is asked about too', async () => {
  const { received, ended, upstream } = await open();
  upstream.write(emitFrame({ fin: false, opcode: OPCODE.text, payload: Buffer.from('for') }, null));
  upstream.write(emitFrame({ fin: true, opcode: OPCODE.ping, payload: Buffer.from('?') }, null));
  upstream.write(emitFrame({ fin: true, opcode: OPCODE.continuation, payload: Buffer.from('bidden') }, null));
  await ended;
  expect(received).toEqual(['101', 'control', 'close 1008']);
  expect(await terminal()).toEqual(['request.refused', 'script', 101]);
});

test('what is no WebSocket ends it', async () => {
  const { received, ended, upstream } = await open();
  upstream.write(Buffer.from([0xff, 0x00]));
  await ended;
  expect(received).toEqual(['101', 'close 1002']);
  expect(await terminal()).toEqual(['request.failed', 'UPSTREAM_PROTOCOL', 502]);
});
