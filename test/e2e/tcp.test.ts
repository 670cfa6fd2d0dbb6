/** Bytes that are not HTTP, by name on a port that a rule names: whoever speaks first, and however it ends. */
import { expectInvariants, facts, Stage } from './stage.js';

const BANNER = 'banner.example.test';
const GREETER = 'greeter.example.test';
const SIX = 'six.example.test';
const stage = new Stage();
let bannerPort: number;
let greeterPort: number;

beforeAll(async () => {
  bannerPort = await stage.tcp(BANNER, socket => {
    socket.write('220 ready\r\n');
    socket.on('data', chunk => socket.write(chunk.toString().toUpperCase()));
    socket.on('end', () => socket.end('bye\n'));
  });
  greeterPort = await stage.tcp(GREETER, socket => {
    socket.once('data', chunk => socket.write(`seen ${chunk}`));
    socket.on('end', () => socket.end());
  });
  await stage.https(SIX, (request, response) => response.end(`from ${request.socket.remoteAddress}\n`), {
    address: '::1',
  });
});
afterAll(() => stage.close());

/** A client in Python: connects, runs `body` with `s` the socket and `f` a file of it. */
const python = (name: string, port: number, body: string): string =>
  `/usr/bin/python3 -c 'import socket
s = socket.create_connection(("${name}", ${port}), 10)
f = s.makefile("rb")
${body}'`;

test('a server that speaks first is heard, and is answered after the client has ended its side', async () => {
  const { code, stdout, events } = await stage.sh(
    python(
      BANNER,
      bannerPort,
      `print(f.readline().decode().strip())
s.sendall(b"helo\\n"); print(f.readline().decode().strip())
s.shutdown(socket.SHUT_WR); print(f.read().decode().strip())`,
    ),
  );
  expect(stdout).toBe('220 ready\nHELO\nbye\n');
  expect(code).toBe(0);
  expect(facts(events, 'flow.closed')).toMatchObject([
    {
      host: BANNER,
      port: bannerPort,
      rule: `--allow ${BANNER}:${bannerPort}`,
      destination: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      protocol: 'tcp',
      reason: null,
      request_bytes: 5,
      response_bytes: '220 ready\r\nHELO\nbye\n'.length,
    },
  ]);
  expectInvariants(events);
});

test('a client that speaks first with bytes of its own protocol is carried too', async () => {
  const { stdout, events } = await stage.sh(
    python(GREETER, greeterPort, 's.sendall(b"SSH-2.0-client\\r\\n"); print(f.readline().decode().strip())'),
  );
  expect(stdout).toBe('seen SSH-2.0-client\n');
  expectInvariants(events);
});

test('a port that no rule names is refused at once, and the upstream hears nothing', async () => {
  const port = greeterPort === 65_535 ? greeterPort - 1 : greeterPort + 1;
  const { stdout, events } = await stage.sh(`${python(GREETER, port, 'print(1)')} 2>&1 | tail -1`);
  expect(stdout).toMatch(/ConnectionRefusedError|ConnectionResetError/);
  const [refusal] = facts(events, 'flow.refused');
  expect(refusal).toMatchObject({ host: GREETER, port, reason: 'port-not-allowed', blocked: true });
  expectInvariants(events);
});

test('bytes that are not HTTP, where only HTTP may pass, are reset, or on port 80 told so in words', async () => {
  const send = (port: number): string =>
    `${python(SIX, port, 's.sendall(b"\\x00\\x01raw"); print(f.read())')} 2>&1 | tail -1`;
  const { stdout, events } = await stage.sh(`${send(443)}; ${send(80)}`);
  expect(stdout).toMatch(/ConnectionResetError[\s\S]*HTTP\/1\.1 400 .*bad-request-line/);
  expect(facts(events, 'flow.refused')).toMatchObject([{ reason: 'not-inspectable', host: SIX, port: 443 }]);
  expect(facts(events, 'request.refused')).toMatchObject([
    { reason: 'bad-request-line', host: SIX, port: 80 },
  ]);
  expectInvariants(events);
});

test('a name has an IPv6 address in the sandbox, and may have one outside', async () => {
  const { code, stdout, events } = await stage.sh(`curl -sS -6 https://${SIX}/; curl -sS -4 https://${SIX}/`);
  expect(stdout).toBe('from ::1\nfrom ::1\n');
  expect(code).toBe(0);
  for (const { destination } of facts(events, 'request.done')) expect(destination).toMatch(/^\[::1\]:\d+$/);
  expectInvariants(events);
});
