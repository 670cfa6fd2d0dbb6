/** WebSocket: the upgrade is decided like any request, and its bytes wait for a 101 that is one. */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'ws.example.test';
const RAW = 'raw.example.test';
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const TOKEN = 'ws-real-value-0123456789';
const stage = new Stage();
const sockets = new WebSocketServer({ noServer: true });
let upgrades: string[] = [];
/** What the raw upstream has heard by the time that it answers, and after. */
let heard = '';
let accept = true;

beforeAll(async () => {
  const server = await stage.https(NAME, (_request, response) => response.writeHead(426).end());
  server.on('upgrade', (request, socket, head) => {
    upgrades.push(`${request.url} ${request.headers.authorization}`);
    sockets.handleUpgrade(request, socket, head, ws => ws.on('message', data => ws.send(`echo ${data}`)));
  });
  await stage.tls(RAW, socket => {
    socket.on('data', chunk => {
      const first = heard === '';
      heard += chunk.toString('latin1');
      if (first) setTimeout(() => answer(socket), 200);
    });
  });
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
  stage.flags.push(
    ...['--policy', stage.place.file('no.yaml', `deny_domain: [{ domain: ${NAME}, paths: ["/private"] }]\n`)],
  );
});
afterAll(async () => {
  sockets.close();
  await stage.close();
});
beforeEach(() => {
  upgrades = [];
  heard = '';
});

function answer(socket: Duplex): void {
  heard += '|';
  const digest = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const value = accept ? digest : 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=';
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${value}\r\n\r\n`,
  );
  setTimeout(() => socket.end(), 300);
}

test('Python talks to an echo server', async () => {
  const script = `/usr/bin/python3 -c 'import asyncio, os, websockets
async def main():
  headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
  async with websockets.connect("wss://${NAME}/chat", extra_headers=headers) as ws:
    for word in ("one", "two" * 50000):
      await ws.send(word)
      print(len(await ws.recv()))
asyncio.run(main())'`;
  const { code, stdout, stderr, events } = await stage.sh(script);
  expect(stderr).not.toContain('Traceback');
  expect(stdout).toBe('8\n150005\n');
  expect(code).toBe(0);
  expect(upgrades).toEqual([`/chat Bearer ${TOKEN}`]);
  expect(facts(events, 'request.done')).toMatchObject([
    { layer: 'websocket', status_code: 101, secrets: ['TOKEN'] },
  ]);
  expectInvariants(events);
});

test('Node talks to an echo server', async () => {
  const { code, stdout, events } = await stage.sh(`node --experimental-websocket -e '
    const ws = new WebSocket("wss://${NAME}/chat");
    ws.onopen = () => ws.send("hello");
    ws.onmessage = message => { console.log(message.data); ws.close(); };
    ws.onerror = error => { console.log(error.message); process.exit(1); };'`);
  expect(stdout).toBe('echo hello\n');
  expect(code).toBe(0);
  expectInvariants(events);
});

const upgrade = (name: string, path: string): string =>
  `GET ${path} HTTP/1.1\\r\\nHost: ${name}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: ${KEY}\\r\\n\\r\\n`;

test('a refused upgrade is a 403 that can be read, and no upstream hears of it', async () => {
  const { stdout, events } = await stage.sh(
    `printf '${upgrade(NAME, '/private')}' | openssl s_client -quiet -servername ${NAME} -connect ${NAME}:443 2>/dev/null`,
  );
  expect(stdout).toMatch(/^HTTP\/1\.1 403 /);
  expect(JSON.parse(stdout.slice(stdout.indexOf('\r\n\r\n')))).toMatchObject({
    reason: 'deny-rule',
    host: NAME,
  });
  expect(upgrades).toEqual([]);
  expect(facts(events, 'request.refused')).toMatchObject([{ layer: 'websocket', status_code: 403 }]);
});

/** What a client sends without waiting for its answer: one text, with a mask of zeros. */
const FRAME = '\\201\\213\\000\\000\\000\\000EAGER-BYTES';
const eager = `printf '${upgrade(RAW, '/')}${FRAME}' | openssl s_client -quiet -servername ${RAW} -connect ${RAW}:443 2>/dev/null`;

test('bytes behind an upgrade are held until the 101 is there', async () => {
  accept = true;
  const { stdout, events } = await stage.sh(eager);
  expect(stdout).toMatch(/^HTTP\/1\.1 101 /);
  expect(heard).toMatch(/^GET \/ HTTP\/1\.1\r\n[^|]*\r\n\r\n\|\x81\x8b\0{4}EAGER-BYTES$/);
  expectInvariants(events);
});

test('a message with a placeholder for another host does not leave: both sides are told 1008', async () => {
  accept = true;
  const head = upgrade(RAW, '/');
  const { stdout, events } = await stage.sh(
    `printf '${head}\\201\\245\\000\\000\\000\\000%s' "$TOKEN" | openssl s_client -quiet -servername ${RAW} -connect ${RAW}:443 2>/dev/null`,
  );
  expect(stdout).toMatch(/^HTTP\/1\.1 101 .*refused by policy/s);
  expect(heard).not.toContain('GWPH_');
  expect(facts(events, 'secret.leak')).toMatchObject([{ layer: 'websocket', secrets: ['TOKEN'] }]);
  expect(facts(events, 'request.refused')).toMatchObject([{ status_code: 101, reason: 'secret-leak' }]);
});

test('an upgrade whose 101 does not prove the key is no upgrade, and the bytes stay here', async () => {
  accept = false;
  const { stdout, events } = await stage.sh(eager);
  expect(stdout).toMatch(/^HTTP\/1\.1 502 /);
  expect(heard).not.toContain('EAGER-BYTES');
  expect(facts(events, 'request.failed')).toMatchObject([{ reason: 'UPSTREAM_PROTOCOL' }]);
});
