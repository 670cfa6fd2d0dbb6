import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { errorCode } from '../../../src/core/errors.js';
import { parseHost } from '../../../src/core/host.js';
import { ALERT } from '../../../src/proxy/tls/alert.js';
import { Ca } from '../../../src/proxy/tls/ca.js';
import { type ClientHello, parseClientHello } from '../../../src/proxy/tls/client-hello.js';
import { HelloReader } from '../../../src/proxy/tls/hello-reader.js';
import { refuseTls, type TerminateOptions, terminate } from '../../../src/proxy/tls/terminate.js';
import { hello, helloBody } from '../../support/client-hello.js';

const ca = Ca.ephemeral();

/** What the gateway's side of one connection came to. */
type Ending = { readonly secured: tls.TLSSocket } | { readonly code: string };

interface Door {
  readonly port: number;
  /** One for each connection, in order of arrival. */
  readonly endings: Promise<Ending>[];
  close(): Promise<void>;
}

interface DoorOptions {
  readonly terminate?: TerminateOptions;
  readonly wrap?: (socket: net.Socket) => Duplex;
  readonly signal?: AbortSignal;
  /** What is claimed to have been read, in place of the hello. */
  readonly claim?: ClientHello;
}

/** Reads hellos and terminates, as `accept` does, and echoes. */
async function openDoor(options: DoorOptions = {}): Promise<Door> {
  const endings: Promise<Ending>[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.on('error', () => {}); // what a client does to its connection is not under test here
    endings.push(admit(socket, options));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  };
  return { port: (server.address() as net.AddressInfo).port, endings, close };
}

async function admit(socket: net.Socket, options: DoorOptions): Promise<Ending> {
  const hello = options.claim ?? (await peekHello(socket));
  const host = parseHost(hello.serverName ?? '192.0.2.1');
  if (!host.ok) throw new Error('unreachable: the name was read');
  const context = ca.leafContext(host.value, 'test');
  const stream = options.wrap?.(socket) ?? socket;
  const signal = options.signal ?? new AbortController().signal;
  try {
    const secured = await terminate(stream, hello, context, options.terminate ?? {}, signal);
    secured.on('data', chunk => secured.write(chunk));
    secured.on('end', () => secured.end());
    return { secured };
  } catch (error) {
    return { code: errorCode(error) };
  }
}

async function peekHello(socket: net.Socket): Promise<ClientHello> {
  const reader = new HelloReader();
  const seen: Buffer[] = [];
  for (;;) {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) {
      await once(socket, 'readable');
      continue;
    }
    seen.push(chunk);
    const got = reader.push(chunk);
    if (!got.ok) throw new Error(got.error);
    if (got.value === 'incomplete') continue;
    socket.unshift(Buffer.concat(seen));
    return got.value;
  }
}

/** A Duplex without a handle, as a tunnel through CONNECT is. */
function withoutHandle(socket: net.Socket): Duplex {
  const duplex: Duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk, _encoding, done) => void socket.write(chunk, done),
    final: done => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', chunk => {
    if (!duplex.push(chunk)) socket.pause();
  });
  socket.on('end', () => duplex.push(null));
  socket.on('close', () => duplex.destroy());
  return duplex;
}

let door: Door;
afterEach(() => door.close());

const dial = (options: tls.ConnectionOptions = {}): tls.TLSSocket =>
  tls.connect({ host: '127.0.0.1', port: door.port, ca: ca.certPem, servername: 'allowed.test', ...options });

async function agreed(options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = dial(options);
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends `size` bytes and ends once they have all come back. */
async function echoed(socket: tls.TLSSocket, size: number): Promise<number> {
  let seen = 0;
  socket.on('data', chunk => {
    seen += chunk.length;
    if (seen === size) socket.end();
  });
  socket.write(Buffer.alloc(size, 'x'));
  await once(socket, 'close');
  return seen;
}

const versions: tls.SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];
const streams: [string, DoorOptions][] = [
  ['a socket', {}],
  ['a stream without a handle', { wrap: withoutHandle }],
];

describe.each(streams)('terminate over %s', (_, options) => {
  test.each(versions)(
    'completes %s for the name in the hello and carries a megabyte both ways',
    async version => {
      door = await openDoor(options);
      const client = await agreed({ minVersion: version, maxVersion: version });
      expect(client.getProtocol()).toBe(version);
      expect(client.getPeerCertificate().subjectaltname).toBe('DNS:allowed.test');
      expect(await echoed(client, 1 << 20)).toBe(1 << 20);
    },
  );
});

interface AlpnCase {
  readonly name: string;
  readonly client: string[];
  readonly want: string | false;
}
const alpn: AlpnCase[] = [
  { name: 'prefers h2', client: ['http/1.1', 'h2'], want: 'h2' },
  { name: 'takes http/1.1 where h2 is not offered', client: ['http/1.1', 'x'], want: 'http/1.1' },
];
for (const { name, client, want } of alpn) {
  test(`terminate ${name}`, async () => {
    door = await openDoor();
    const socket = await agreed({ ALPNProtocols: client });
    expect(socket.alpnProtocol).toBe(want);
    const ending = await door.endings[0];
    expect(ending).toMatchObject({ secured: { alpnProtocol: want } });
    socket.destroy();
  });
}

test('terminate agrees on no protocol with a client that offers none', async () => {
  door = await openDoor();
  const socket = await agreed();
  expect(socket.alpnProtocol).toBe(false);
  socket.destroy();
});

async function alertSeen(options: tls.ConnectionOptions): Promise<string> {
  const [error] = await once(dial(options), 'error');
  return errorCode(error);
}

test('terminate refuses a client whose protocols it does not speak with alert 120', async () => {
  door = await openDoor();
  expect(await alertSeen({ ALPNProtocols: ['h3', 'acme-tls/1'] })).toMatch(/ALERT_NO_APPLICATION_PROTOCOL/);
  expect(await door.endings[0]).toEqual({ code: 'CLIENT_PROTOCOL' });
});

describe.each(versions)('a session of %s', version => {
  test('is never resumed, under its own name or another', async () => {
    door = await openDoor();
    const only: tls.ConnectionOptions = { minVersion: version, maxVersion: version };
    const first = dial(only);
    const sessions: Buffer[] = [];
    first.on('session', session => sessions.push(session));
    await once(first, 'secureConnect');
    await echoed(first, 100);
    for (const session of sessions) {
      for (const servername of ['allowed.test', 'other.test']) {
        const again = await agreed({ ...only, session, servername });
        expect(again.isSessionReused()).toBe(false);
        expect(again.getPeerCertificate().subjectaltname).toBe(`DNS:${servername}`);
        again.destroy();
      }
    }
  });
});

test('terminate ends a connection whose name is not the one that was decided', async () => {
  const claimed = parseClientHello(helloBody({ serverNames: ['decided.test'] }));
  if (!claimed.ok) throw new Error(claimed.error);
  door = await openDoor({ claim: claimed.value });
  const socket = dial({ rejectUnauthorized: false, checkServerIdentity: () => undefined });
  socket.on('error', () => {}); // the connection may be reset before it is closed
  await once(socket, 'close');
  expect(await door.endings[0]).toEqual({ code: 'CLIENT_PROTOCOL' });
});

test('terminate gives up on a handshake that is not finished in time', async () => {
  door = await openDoor({ terminate: { handshakeMs: 50 } });
  const socket = net.connect(door.port, '127.0.0.1');
  socket.write(hello({ serverNames: ['allowed.test'] }));
  socket.resume();
  await once(socket, 'close');
  expect(await door.endings[0]).toEqual({ code: 'LIMIT_EXCEEDED' });
});

test('terminate ends with a client that leaves in the middle, though the flow may be half open', async () => {
  door = await openDoor({ terminate: { handshakeMs: 60_000 } });
  const socket = net.connect({ port: door.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.write(hello({ serverNames: ['allowed.test'] }));
  await once(socket, 'data');
  socket.end();
  socket.resume();
  expect(await door.endings[0]).toEqual({ code: 'CLIENT_ABORTED' });
});

test('terminate ends when its signal fires', async () => {
  const controller = new AbortController();
  door = await openDoor({ signal: controller.signal });
  const socket = net.connect(door.port, '127.0.0.1');
  socket.write(hello({ serverNames: ['allowed.test'] }));
  await once(socket, 'data');
  controller.abort();
  await once(socket, 'close');
  expect(await door.endings[0]).toEqual({ code: 'CLIENT_ABORTED' });
});

test('a TLS fault after the handshake closes the connection', async () => {
  door = await openDoor();
  const raw = net.connect(door.port, '127.0.0.1');
  const client = tls.connect({ socket: raw, ca: ca.certPem, servername: 'allowed.test' });
  client.on('error', () => {}); // the alert, or the reset
  await once(client, 'secureConnect');
  const ending = await door.endings[0];
  if (ending === undefined || !('secured' in ending)) throw new Error('the handshake failed');
  raw.write(Buffer.from('not a record of this session'));
  const error = await new Promise<Error>(resolve => ending.secured.once('error', resolve));
  expect(error.message).toContain('wrong version number');
  expect(ending.secured.destroyed).toBe(true);
});

test('refuseTls sends one alert and closes, even when bytes are still coming', async () => {
  const server = net.createServer({ allowHalfOpen: true }, socket =>
    refuseTls(socket, ALERT.unrecognizedName),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  door = {
    port: (server.address() as net.AddressInfo).port,
    endings: [],
    close: async () => void server.close(),
  };
  expect(await alertSeen({})).toMatch(/ALERT_UNRECOGNIZED_NAME|UNRECOGNIZED_NAME/);
});
