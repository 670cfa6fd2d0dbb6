/**
 * The scripted part of `sni.json`: what a client does, and what of it must not work. Each gives null, or what was
 * wrong.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { PREFACE } from '../../../src/proxy/http2/frames.js';
import { issue, makeTestCa } from '../certificates.js';
import { bytes, type HelloParts, handshakeMessage, hello, helloBody, records } from '../client-hello.js';
import { type HelloAnswer, type SniTarget, sendHello } from './sni-cases.js';

type Scenario = (target: SniTarget) => Promise<string | null>;

const ALLOWED: HelloParts = { serverNames: ['allowed.test'] };
const REQUEST = 'GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n';

const answered = async (target: SniTarget, wire: Buffer): Promise<HelloAnswer> =>
  sendHello(await target.connect(), wire);

/** Null if the certificate of `name` was shown. */
const minted = ({ names, alert }: HelloAnswer, name = 'allowed.test'): string | null =>
  names === `DNS:${name}` ? null : `names ${names}, alert ${alert}`;

const refused = ({ names, alert, closed }: HelloAnswer, want?: number): string | null => {
  const isRefused = names === null && (want === undefined ? alert !== null || closed : alert === want);
  return isRefused ? null : `names ${names}, alert ${alert}`;
};

type Client = Omit<tls.ConnectionOptions, 'socket' | 'ca'>;

/** A real client's handshake; rejects when it fails. */
async function agree(target: SniTarget, options: Client = {}, connection?: Duplex): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    socket: connection ?? (await target.connect()),
    ca: target.caPem,
    servername: 'allowed.test',
    // Names are looked at by the scripts themselves.
    checkServerIdentity: () => undefined,
    ...options,
  });
  socket.on('error', () => {}); // a refused handshake rejects below; what follows is read as bytes and an end
  await once(socket, 'secureConnect');
  return socket;
}

/** Unlike `once`, does not mind how it came to that. */
function closing(stream: Duplex): Promise<void> {
  return new Promise(resolve => stream.once('close', () => resolve()));
}

/** All that comes after `text` was written, up to the end. */
async function converse(socket: Duplex, text: string | Buffer): Promise<string> {
  const parts: Buffer[] = [];
  socket.on('data', chunk => parts.push(chunk));
  const closed = closing(socket);
  socket.once('end', () => socket.destroy()); // it may be half open
  socket.write(text);
  await closed;
  return Buffer.concat(parts).toString('latin1');
}

/** A second handshake that offers the first one's sessions as `options` says: it must not be resumed. */
function resumption(first: Client, second: Client, other = false): Scenario {
  return async target => {
    const socket = tls.connect({
      socket: await target.connect(),
      ca: target.caPem,
      servername: 'allowed.test',
      ...first,
    });
    const sessions: Buffer[] = [];
    socket.on('session', session => sessions.push(session));
    socket.on('error', () => {}); // a refused handshake rejects below; an early end is no matter
    await once(socket, 'secureConnect');
    await converse(socket, REQUEST);
    for (const session of sessions) {
      const connection = other ? await target.connectOther() : await target.connect();
      try {
        const again = await agree(target, { ...first, ...second, session }, connection);
        const resumed = again.isSessionReused();
        const { servername = 'allowed.test' } = second;
        const names = again.getPeerCertificate().subjectaltname;
        again.destroy();
        if (resumed) return 'the session was resumed';
        if (servername !== '' && names !== `DNS:${servername}`) return `the certificate is for ${names}`;
      } catch {
        // A handshake that is refused has not been resumed.
      }
    }
    return null;
  };
}

const ONLY_12: Client = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' };
const ONLY_13: Client = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' };

async function inSegments(target: SniTarget): Promise<string | null> {
  const connection = await target.connect();
  const wire = hello(ALLOWED);
  const last = wire.length - 1;
  for (const [from, to] of [
    [0, 3],
    [3, 40],
    [40, last],
  ] as const) {
    connection.write(wire.subarray(from, to));
    await delay(200);
  }
  return minted(await sendHello(connection, wire.subarray(last)));
}

const withAlpn =
  (alpn: string, text: string | Buffer, isWrong: (answer: string) => boolean): Scenario =>
  async target => {
    const answer = await converse(await agree(target, { ALPNProtocols: [alpn] }), text);
    return isWrong(answer) ? `answered with ${JSON.stringify(answer.slice(0, 60))}` : null;
  };

async function withoutAlpn(target: SniTarget): Promise<string | null> {
  const socket = await agree(target);
  if (socket.alpnProtocol !== false) return `agreed on ${socket.alpnProtocol}`;
  const answer = await converse(socket, REQUEST);
  return answer.startsWith('HTTP/1.1 ') ? null : `answered with ${JSON.stringify(answer.slice(0, 60))}`;
}

async function renegotiated(target: SniTarget): Promise<string | null> {
  const socket = await agree(target, ONLY_12);
  const outcome = new Promise<string | null>(resolve => {
    socket.once('close', () => resolve(null));
    socket.renegotiate({ rejectUnauthorized: false }, error =>
      resolve(error ? null : 'a new handshake was made'),
    );
  });
  const seen = await outcome;
  socket.destroy();
  return seen;
}

/** Early data needs a client that sends it: OpenSSL's. */
async function earlyData(target: SniTarget): Promise<string | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-early-'));
  const relay = net.createServer(async socket => {
    const inner = await target.connect();
    pipeline(socket, inner, socket).catch(() => {}); // ends as the client ends it
  });
  try {
    await writeFile(join(dir, 'early'), REQUEST);
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    const { port } = relay.address() as net.AddressInfo;
    const run = (...more: string[]): Promise<string> => openssl(dir, port, more);
    await run('-sess_out', 'session');
    const seen = await run('-sess_in', 'session', '-early_data', 'early');
    return /Early data was accepted|Reused, TLS/.test(seen) ? 'early data was accepted' : null;
  } finally {
    relay.close();
    await rm(dir, { recursive: true });
  }
}

async function openssl(cwd: string, port: number, more: readonly string[]): Promise<string> {
  const where = ['-connect', `127.0.0.1:${port}`, '-servername', 'allowed.test', '-tls1_3', '-ign_eof'];
  const child = promisify(execFile)('openssl', ['s_client', ...where, ...more], { cwd, timeout: 20_000 });
  child.child.stdin?.end(REQUEST);
  // Its exit code says how the connection ended, which is not the question.
  return child.then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? '',
  );
}

const FLOOD_NAMES = 400;
/** More than any ration that is one, and how fast it may fill up again. */
const RATION = 250;
const RATION_PER_MS = 0.05;

/** New names are rationed; a name that is known is served all the same. */
async function manyNames(target: SniTarget): Promise<string | null> {
  const known = minted(await answered(target, hello(ALLOWED)));
  if (known !== null) return known;
  const begin = performance.now();
  let served = 0;
  for (let i = 0; i < FLOOD_NAMES; i += 20) {
    const batch = Array.from({ length: 20 }, (_, j) => hello({ serverNames: [`n${i + j}.allowed.test`] }));
    const answers = await Promise.all(batch.map(wire => answered(target, wire)));
    served += answers.filter(({ names }) => names !== null).length;
  }
  const ration = RATION + (performance.now() - begin) * RATION_PER_MS;
  if (served > ration) return `${served} new names were served at once`;
  return minted(await answered(target, hello(ALLOWED)));
}

const HALF_OPEN = 200;

async function halfOpen(target: SniTarget): Promise<string | null> {
  const half = hello(ALLOWED).subarray(0, 60);
  const connections = await Promise.all(
    Array.from({ length: HALF_OPEN }, async () => {
      const connection = await target.connect();
      connection.on('error', () => {}); // they may be ended at any time
      connection.write(half);
      return connection;
    }),
  );
  const fault = minted(await sendHello(await target.connectOther(), hello(ALLOWED)));
  for (const connection of connections) connection.destroy();
  return fault;
}

async function neverCompleted(target: SniTarget): Promise<string | null> {
  const connection = await target.connect();
  connection.on('error', () => {}); // a reset is a close
  connection.resume();
  connection.write(hello(ALLOWED).subarray(0, 60));
  const closed = closing(connection).then(() => null);
  const late = delay(target.handshakeMs + 5_000, 'it was still open', { ref: false });
  const seen = await Promise.race([closed, late]);
  connection.destroy();
  return seen;
}

async function clientCertificate(target: SniTarget): Promise<string | null> {
  // Never asked for, so never sent: that the handshake ends well is all there is to see.
  const { keyPem, certPem } = issue(makeTestCa(), { names: ['client.test'], purpose: 'clientAuth' });
  const socket = await agree(target, { key: keyPem, cert: certPem });
  const answer = await converse(socket, REQUEST);
  return answer.startsWith('HTTP/1.1 ') ? null : 'the request was not answered';
}

const message = handshakeMessage(helloBody(ALLOWED));

export const SNI_SCENARIOS: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  [
    'ClientHello split over 1-byte TLS records',
    async target => minted(await answered(target, records(message, 1))),
  ],
  ['ClientHello split over many TCP segments with 200 ms gaps', inSegments],
  [
    'ClientHello of 16 KB with padding',
    async target => minted(await answered(target, hello({ ...ALLOWED, more: [[21, Buffer.alloc(15_800)]] }))),
  ],
  [
    'ClientHello over 64 KB of records',
    async target =>
      refused(
        await answered(target, records(handshakeMessage(bytes(helloBody(ALLOWED), Buffer.alloc(70_000))))),
      ),
  ],
  [
    'TLS 1.0/1.1 only',
    async target => refused(await answered(target, hello({ ...ALLOWED, legacyVersion: 0x0302 })), 70),
  ],
  [
    'SSLv2-compatible hello',
    async target => {
      const wire = Buffer.concat([Buffer.from('802e010301001500000010', 'hex'), Buffer.alloc(37, 1)]);
      return refused(await answered(target, wire));
    },
  ],
  [
    'ALPN h3/acme-tls/1 only',
    async target => refused(await answered(target, hello({ ...ALLOWED, alpn: ['h3', 'acme-tls/1'] })), 120),
  ],
  [
    'ALPN http/1.1 then HTTP/2 preface bytes',
    withAlpn('http/1.1', PREFACE, answer => answer.startsWith('HTTP/1.1 2')),
  ],
  ['ALPN h2 then HTTP/1 bytes', withAlpn('h2', REQUEST, answer => answer.includes('HTTP/1.1'))],
  ['no ALPN', withoutAlpn],
  [
    'ECH extension (0xfe0d) with outer SNI allowed.test',
    async target => minted(await answered(target, hello({ ...ALLOWED, more: [[0xfe0d, Buffer.alloc(40)]] }))),
  ],
  [
    'ESNI (0xffce)',
    async target => minted(await answered(target, hello({ ...ALLOWED, more: [[0xffce, Buffer.alloc(40)]] }))),
  ],
  ['TLS 1.3 resumption with another SNI', resumption(ONLY_13, { servername: 'denied.test' })],
  ['TLS 1.2 resumption with another SNI', resumption(ONLY_12, { servername: 'denied.test' })],
  ['TLS 1.3 resumption without SNI', resumption(ONLY_13, { servername: '' })],
  ['0-RTT early data', earlyData],
  ['renegotiation (TLS 1.2)', renegotiated],
  ['client certificate offered', clientCertificate],
  ['session ticket from VM 1 replayed by VM 2', resumption(ONLY_13, {}, true)],
  ['10 000 distinct SNI names in 60 s', manyNames],
  ['1 000 parallel half-open handshakes', halfOpen],
  ['ClientHello never completed', neverCompleted],
]);
