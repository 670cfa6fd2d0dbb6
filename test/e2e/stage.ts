/**
 * A stage for one test file: an authority of its own, servers on loopback that the gateway reaches by pinned names,
 * and the built command line to send a real client to them.
 */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { Event } from '../../src/events/event.js';
import { type CliOptions, type Finished, Workplace } from '../support/cli.js';
import { issue, makeTestCa } from '../support/tls.js';

export interface ServerOptions {
  /** Where it listens. Default 127.0.0.1. */
  readonly address?: '127.0.0.1' | '::1';
  /** The port that the sandbox uses. Default: that of the scheme, and of any TCP server the real one. */
  readonly port?: number;
  /** Keep the name out of the policy: a test says itself what is allowed. */
  readonly denied?: boolean;
}

export interface ShellOptions extends CliOptions {
  /** More flags of `sallyport run`. */
  readonly flags?: readonly string[];
}

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export class Stage {
  readonly ca = makeTestCa();
  readonly place = new Workplace();
  readonly caFile = this.place.file('upstream-ca.pem', this.ca.certPem);
  readonly flags: string[] = ['--upstream-ca', this.caFile];
  /** Variables of the caller in every run: the values of secrets. */
  readonly env: Record<string, string> = {};
  readonly #servers: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();

  /** An HTTPS server, HTTP/1.1 only. */
  async https(name: string, handler: Handler, options: ServerOptions = {}): Promise<https.Server> {
    const server = https.createServer({ ...this.#credentials(name), ALPNProtocols: ['http/1.1'] }, handler);
    await this.#listen(name, server, options);
    return server;
  }

  /** An HTTPS server that prefers HTTP/2 and takes HTTP/1.1. */
  async http2(name: string, handler: Handler, options: ServerOptions = {}): Promise<http2.Http2SecureServer> {
    const server = http2.createSecureServer(
      { ...this.#credentials(name), allowHTTP1: true },
      handler as unknown as (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void,
    );
    await this.#listen(name, server, options);
    return server;
  }

  /** TLS, and what `take` makes of the bytes inside. */
  async tls(name: string, take: (socket: tls.TLSSocket) => void, options: ServerOptions = {}): Promise<void> {
    const server = tls.createServer({ ...this.#credentials(name), ALPNProtocols: ['http/1.1'] }, socket => {
      socket.on('error', () => undefined);
      take(socket);
    });
    await this.#listen(name, server, options);
  }

  /** A server of plain HTTP. */
  async http(name: string, handler: Handler, options: ServerOptions = {}): Promise<http.Server> {
    const server = http.createServer(handler);
    await this.#listen(name, server, options);
    return server;
  }

  /** A bare TCP server, allowed on its explicit port, which the sandbox uses too unless `port` says another. */
  async tcp(name: string, take: (socket: net.Socket) => void, options: ServerOptions = {}): Promise<number> {
    const server = net.createServer({ allowHalfOpen: true }, take);
    const real = await this.#listen(name, server, { ...options, denied: true });
    const port = options.port ?? real;
    if (!options.denied) this.flags.push('--allow', `${name}:${port}`);
    return port;
  }

  #credentials(name: string): { readonly key: string; readonly cert: string } {
    const { keyPem, certPem } = issue(this.ca, { names: [name] });
    return { key: keyPem, cert: certPem };
  }

  async #listen(name: string, server: net.Server, options: ServerOptions): Promise<number> {
    const { address = '127.0.0.1', port, denied = false } = options;
    this.#servers.push(server);
    server.on('connection', (socket: net.Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined); // A peer that hangs up is what some tests are about.
    });
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, address, resolve);
    });
    const real = (server.address() as AddressInfo).port;
    const host = address === '::1' ? `[::1]:${real}` : `${address}:${real}`;
    this.flags.push('--add-host', `${name}=${host}`);
    if (!denied) this.flags.push('--allow', port === undefined ? name : `${name}:${port}`);
    return real;
  }

  /** Runs a shell script in a sandbox, and reads its events. */
  sh(script: string, { flags = [], ...options }: ShellOptions = {}): Promise<Finished> {
    return this.run(['sh', '-c', script], { flags, ...options });
  }

  run(argv: readonly string[], { flags = [], env, ...options }: ShellOptions = {}): Promise<Finished> {
    return this.place.sallyport(['run', ...this.flags, ...flags, '--', ...argv], {
      events: true,
      env: { ...this.env, ...env },
      ...options,
    });
  }

  /** Starts a shell script in a sandbox; the caller ends it. */
  start(script: string, flags: readonly string[] = []) {
    return this.place.start(['run', ...this.flags, ...flags, '--', 'sh', '-c', script], { env: this.env });
  }

  async close(): Promise<void> {
    const closing = this.#servers.map(server => new Promise(resolve => server.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closing);
    this.place.remove();
  }
}

/** The whole body of a message; a truncated one rejects. */
export async function bodyOf(message: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The network facts of the events of one type. */
export function facts(events: readonly Event[], type: Event['type']) {
  return events.filter(event => event.type === type).flatMap(({ network }) => (network ? [network] : []));
}

/**
 * What every event stream keeps, whatever happened: `seq` without a gap from 1, one terminal event for each flow and
 * request, and no request of a flow that is not there.
 */
export function expectInvariants(events: readonly Event[]): void {
  expect(events.map(event => event.seq)).toEqual(events.map((_event, at) => at + 1));
  const flows = (types: readonly string[]) =>
    events
      .filter(({ type, network }) => types.includes(type) && network?.flow !== null)
      .map(({ network }) => network?.flow);
  const ended = flows(['flow.refused', 'flow.closed']);
  expect([...ended].sort()).toEqual([...new Set(ended)].sort());
  for (const flow of flows(['flow.opened'])) expect(ended).toContain(flow);
  expect(events.at(-1)?.type).toBe('gateway.closed');
  const requests = events
    .filter(({ type }) => type.startsWith('request.'))
    .map(({ network }) => network?.request);
  expect(requests).toEqual([...new Set(requests)]);
  for (const { id, gateway_id, seq } of events) expect(id).toBe(`${gateway_id}-${seq}`);
  const shaken = flows(['tls.done', 'tls.refused']);
  expect(shaken).toEqual([...new Set(shaken)]);
  for (const { type, network } of events) {
    if (type.startsWith('request.') && network?.url.startsWith('https:')) {
      expect(flows(['tls.done'])).toContain(network.flow);
      expect(network.timings?.total_ms).toBeGreaterThanOrEqual(0);
    }
    if (type.startsWith('request.')) expect(ended).toContain(network?.flow);
    if (network?.decision === 'deny') expect(network).toMatchObject({ blocked: true });
  }
}
