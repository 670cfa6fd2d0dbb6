import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { parseAddress } from '../../../src/core/address.js';
import type { Hostname } from '../../../src/core/host.js';
import type { Exchange } from '../../../src/proxy/exchange.js';
import { serveHttp1 } from '../../../src/proxy/http1/server.js';
import { serveHttp2 } from '../../../src/proxy/http2/server.js';
import { ALERT, type Alert, alertOf } from '../../../src/proxy/tls/alert.js';
import { Ca } from '../../../src/proxy/tls/ca.js';
import type { ClientHello } from '../../../src/proxy/tls/client-hello.js';
import { HelloReader } from '../../../src/proxy/tls/hello-reader.js';
import { refuseTls, terminate } from '../../../src/proxy/tls/terminate.js';
import type { CorpusCase, CorpusFile } from '../../support/corpus/case.js';
import { runSni, type SniTarget } from '../../support/corpus/sni-cases.js';

const file: CorpusFile = JSON.parse(readFileSync(join(__dirname, '../../corpus/sni.json'), 'utf8'));
const HANDSHAKE_MS = 2_000;

/** The parts of this folder in the order in which the gateway uses them, and nothing else. */
class Door implements SniTarget, AsyncDisposable {
  readonly handshakeMs = HANDSHAKE_MS;
  readonly #ca = Ca.ephemeral();
  readonly #server = net.createServer({ allowHalfOpen: true }, socket => void this.#admit(socket));
  readonly #sockets = new Set<net.Socket>();

  static async open(): Promise<Door> {
    const door = new Door();
    await once(door.#server.listen(0, '127.0.0.1'), 'listening');
    return door;
  }

  get caPem(): string {
    return this.#ca.certPem;
  }

  async connect(): Promise<net.Socket> {
    return net.connect((this.#server.address() as net.AddressInfo).port, '127.0.0.1');
  }

  connectOther(): Promise<net.Socket> {
    return this.connect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  async #admit(socket: net.Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // clients of these cases leave as they like
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    try {
      const hello = await peekHello(socket);
      if (typeof hello === 'number') return refuseTls(socket, hello);
      await this.#serve(socket, hello);
    } catch {
      socket.destroy(); // what failed, and how, is the client's to see
    } finally {
      clearTimeout(timer);
    }
  }

  async #serve(socket: net.Socket, hello: ClientHello): Promise<void> {
    const name = hello.serverName;
    if (name === null || !isAllowed(name)) return refuseTls(socket, ALERT.unrecognizedName);
    const context = this.#ca.leafContext({ kind: 'name', name }, 'corpus');
    const secured = await terminate(socket, hello, context, {}, new AbortController().signal);
    const address = parseAddress('192.0.2.1');
    if (!address.ok) throw new Error('unreachable');
    const options = {
      scheme: 'https',
      name,
      target: { address: address.value, port: 443 },
      onExchange: (exchange: Exchange) =>
        exchange.respond({
          head: { status: 200, reason: '', headers: [], framing: { kind: 'none' }, version: '1.1' },
          body: Buffer.from('ok'),
          trailers: () => [],
        }),
      onFault: () => null,
    } as const;
    if (secured.alpnProtocol === 'h2') void serveHttp2(secured, options);
    else void serveHttp1(secured, { mode: 'tls', ...options });
  }
}

const isAllowed = (name: Hostname): boolean => name === 'allowed.test' || name.endsWith('.allowed.test');

/** The hello, or the alert that refuses it; the bytes are put back. */
async function peekHello(socket: net.Socket): Promise<ClientHello | Alert> {
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
    if (!got.ok) return alertOf(got.error);
    if (got.value === 'incomplete') continue;
    socket.unshift(Buffer.concat(seen));
    return got.value;
  }
}

test.each(
  file.cases.map(item => [item.id, item.note === 'scripted scenario' ? item.scenario : item.note, item]),
)('%s: %s', async (_id, _note, item) => {
  await using door = await Door.open();
  expect(await runSni(item as CorpusCase, door)).toEqual({ kind: 'passed' });
});
