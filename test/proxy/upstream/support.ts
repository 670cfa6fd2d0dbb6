/** What the tests of the outer door share: a resolver and a dialler that stay on loopback, and requests to send. */
import { setMaxListeners } from 'node:events';
import net from 'node:net';
import { type Endpoint, endpointText, type IpAddress, parseAddress } from '../../../src/core/address.js';
import { type Authority, authorityText, parseAuthority, type Scheme } from '../../../src/core/authority.js';
import type { Resolver } from '../../../src/dns/resolver.js';
import type { Verdict } from '../../../src/policy/question.js';
import type { OutboundRequest } from '../../../src/proxy/connection.js';
import { type Body, NO_BODY, type RequestHead } from '../../../src/proxy/exchange.js';
import { trustRoots } from '../../../src/proxy/upstream/trust.js';
import {
  createUpstream,
  type UpstreamOptions,
  type UpstreamRequest,
} from '../../../src/proxy/upstream/upstream.js';

export const ALLOW: Verdict = { allow: true, rule: 'test', via: 'inspect', secrets: [] };
export const DENY: Verdict = {
  allow: false,
  rule: null,
  reason: 'private-address',
  hint: 'a private address',
};

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (!address.ok) throw new TypeError(text);
  return address.value;
}

export function authorityOf(text: string, scheme: Scheme = 'https'): Authority {
  const authority = parseAuthority(text, scheme);
  if (!authority.ok) throw new TypeError(text);
  return authority.value;
}

/** Answers from a table; what is not in it has no address. */
export function resolverOf(
  table: Readonly<Record<string, readonly string[]>>,
): Resolver & { readonly asked: string[] } {
  const asked: string[] = [];
  const entries = new Map(Object.entries(table));
  return {
    asked,
    resolve: async name => {
      asked.push(name);
      return (entries.get(name) ?? []).map(ip);
    },
  };
}

/** Dials 127.0.0.1 at `port` whatever is asked, and remembers what was. */
export function diallerTo(port: number | ((endpoint: Endpoint) => number)): {
  readonly dialled: string[];
  readonly dial: (endpoint: Endpoint) => net.Socket;
} {
  const dialled: string[] = [];
  return {
    dialled,
    dial: endpoint => {
      dialled.push(endpointText(endpoint));
      const at = typeof port === 'number' ? port : port(endpoint);
      return net.connect({ host: '127.0.0.1', port: at, allowHalfOpen: true });
    },
  };
}

/** A port of loopback on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** A TCP server on loopback that gives its connections to `onSocket`. */
export async function rawServer(
  onSocket: (socket: net.Socket) => void = socket => socket.resume(),
): Promise<{ readonly port: number; readonly sockets: ReadonlySet<net.Socket>; close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.on('error', () => {}); // A peer that hangs up is what some tests are about.
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    sockets,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export interface RequestOptions extends Partial<Omit<OutboundRequest, 'head'>> {
  readonly authority?: Authority;
  readonly method?: string;
  readonly version?: RequestHead['version'];
  readonly framing?: RequestHead['framing'];
  readonly wantsTrailers?: boolean;
}

/** A request as it leaves; by default a GET by HTTP/2 without content. */
export function outboundOf(options: RequestOptions = {}): OutboundRequest {
  const authority = options.authority ?? authorityOf('api.test');
  const body: Body = options.body ?? NO_BODY;
  const known = body instanceof Uint8Array && body.length > 0;
  const head: RequestHead = {
    method: options.method ?? 'GET',
    authority,
    path: options.path ?? '/',
    headers: [],
    version: options.version ?? '2',
    framing: options.framing ?? (known ? { kind: 'length', bytes: body.length } : { kind: 'none' }),
    wantsTrailers: options.wantsTrailers ?? false,
    upgrade: null,
    expectsContinue: false,
    headBytes: 0,
  };
  return {
    head,
    headers: options.headers ?? [],
    sensitive: options.sensitive ?? new Set(),
    path: head.path,
    host: authorityText(authority),
    body,
    trailers: options.trailers ?? (() => []),
    inform: options.inform ?? (() => {}),
  };
}

export function requestOf(
  outbound: OutboundRequest,
  over: Partial<Omit<UpstreamRequest, 'outbound' | 'authority'>> = {},
): UpstreamRequest {
  return {
    sandbox: 'a',
    authority: outbound.head.authority,
    generation: 1,
    outbound,
    decideDial: () => ALLOW,
    pin: null,
    ...over,
  };
}

/** An outer door that trusts `rootPem`, finds every name at a public address and dials `port` instead. */
export function upstreamTo(
  port: number | ((endpoint: Endpoint) => number),
  rootPem: string,
  over: Partial<UpstreamOptions> = {},
): ReturnType<typeof createUpstream> {
  return createUpstream({
    resolver: { resolve: async () => [ip('203.0.113.7')] },
    trust: trustRoots([rootPem]),
    dialler: diallerTo(port).dial,
    ...over,
  });
}

export async function bytesOf(body: Body): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A caller that never leaves. Many wait on it at once. */
export const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);
