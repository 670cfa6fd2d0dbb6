/**
 * A whole gateway in this process, one sandbox, and one HTTPS upstream that records: what a test of sources and signing
 * needs on both sides. Close it.
 */
import { once } from 'node:events';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { parseAddress } from '../../src/core/address.js';
import type { Event } from '../../src/events/event.js';
import { createGateway, type Gateway } from '../../src/gateway.js';
import { documentFrom } from '../../src/policy/document.js';
import { Ca } from '../../src/proxy/tls/ca.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { issue, makeTestCa } from '../support/tls.js';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface Answered {
  readonly status: number;
  readonly body: string;
}

export interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type Answer = (seen: Seen) => { readonly status?: number; readonly body: string };

export const ca = makeTestCa();

/** An HTTPS server on loopback that `ca` vouches for, by these names and by `localhost`. */
export async function startServer(names: readonly string[], answer: Answer) {
  const leaf = issue(ca, { names: [...names, 'localhost'] });
  const seen: Seen[] = [];
  const server = https.createServer({ key: leaf.keyPem, cert: leaf.certPem }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', piece => pieces.push(piece));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(pieces) };
      seen.push(one);
      const { status = 200, body } = answer(one);
      response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { port, seen, origin: `https://localhost:${port}`, close };
}

export type Server = Awaited<ReturnType<typeof startServer>>;

export class Corridor {
  readonly events: Event[] = [];
  readonly #gatewayCa = Ca.ephemeral();
  readonly #env: Readonly<Record<string, string>>;
  #gateway: Gateway | null = null;
  #door: net.Server | null = null;
  #placeholders: Readonly<Record<string, string>> = {};

  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#env = env;
  }

  /** `policy` as in a file; every name leads to `upstream`. */
  async open(policy: object, upstream: Server): Promise<this> {
    const document = documentFrom(policy, 'test');
    const address = parseAddress('93.184.215.14');
    if (!document.ok || !address.ok) throw new Error(JSON.stringify(document));
    this.#gateway = await createGateway({
      layers: [document.value],
      ca: this.#gatewayCa,
      trust: trustRoots([ca.rootPem]),
      resolver: { resolve: async () => [address.value] },
      dialler: () => net.connect({ host: '127.0.0.1', port: upstream.port, allowHalfOpen: true }),
      sinks: [{ name: 'test', whenFull: 'drop-and-mark', write: batch => void this.events.push(...batch) }],
      env: this.#env,
    });
    const admitted = this.#gateway.admit('vm');
    this.#placeholders = admitted.environment({});
    const endpoint = { address: address.value, port: 443 };
    let flows = 0;
    this.#door = net.createServer({ allowHalfOpen: true }, socket => {
      socket.on('error', () => undefined); // The client hung up: nothing is left to tell.
      const flow = { id: `f-${++flows}`, sandbox: 'vm', source: endpoint, target: endpoint, host: null };
      void admitted.accept({ ...flow, accept: () => socket, refuse: () => socket.destroy() });
    });
    await once(this.#door.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  get gateway(): Gateway {
    if (this.#gateway === null) throw new Error('it is not open');
    return this.#gateway;
  }

  /** Where a client inside the sandbox connects, and what it trusts. */
  get doorPort(): number {
    const address = this.#door?.address() as AddressInfo | undefined;
    return address?.port ?? 0;
  }

  get caPem(): string {
    return this.#gatewayCa.certPem;
  }

  /** What the sandbox's variable of that name holds. */
  placeholder(name: string): string {
    return this.#placeholders[name] ?? '';
  }

  send(host: string, { method = 'GET', path = '/', headers = {}, body = '' }: Sent = {}): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const request = https.request({
        ...{ host: '127.0.0.1', port: this.doorPort, servername: host, ca: this.caPem, agent: false },
        ...{ method, path, headers: { host, 'content-length': String(Buffer.byteLength(body)), ...headers } },
      });
      request.on('error', reject).on('response', response => {
        let text = '';
        response.setEncoding('utf8').on('data', piece => {
          text += piece;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      });
      request.end(body);
    });
  }

  async close(): Promise<void> {
    await this.#gateway?.close();
    this.#door?.close();
  }
}
