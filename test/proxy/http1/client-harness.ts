/** A client connection on a real loopback socket, and the upstream's end of it. */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { parseAuthority } from '../../../src/core/authority.js';
import { errorCode } from '../../../src/core/errors.js';
import type { ConnectionAnswer, OutboundRequest } from '../../../src/proxy/connection.js';
import { NO_BODY, type RequestHead } from '../../../src/proxy/exchange.js';
import { type ClientOptions, Http1Connection } from '../../../src/proxy/http1/client.js';
import { socketPair } from '../../support/loopback.js';

export const NEVER = new AbortController().signal;

export function outbound(
  more: Partial<OutboundRequest> = {},
  head: Partial<RequestHead> = {},
): OutboundRequest {
  const authority = parseAuthority('a.test', 'https');
  if (!authority.ok) throw new Error('bad test authority');
  return {
    head: {
      method: 'GET',
      authority: authority.value,
      path: '/p',
      headers: [],
      version: '1.1',
      framing: { kind: 'none' },
      wantsTrailers: false,
      upgrade: null,
      expectsContinue: false,
      headBytes: 0,
      ...head,
    },
    headers: [],
    sensitive: new Set(),
    path: '/p',
    host: 'a.test',
    body: NO_BODY,
    trailers: () => [],
    inform: () => {},
    ...more,
  };
}

export interface Wire {
  readonly connection: Http1Connection;
  readonly upstream: Socket;
  /** What the upstream has received so far. */
  readonly received: () => string;
}

const open: Socket[] = [];

/** Destroys what the last test has opened. */
export function closeWires(): void {
  for (const socket of open.splice(0)) socket.destroy();
}

export async function wire(options: ClientOptions = {}): Promise<Wire> {
  const { near, far } = await socketPair();
  open.push(near, far);
  let received = '';
  near
    .on('error', () => {})
    .on('data', chunk => {
      received += chunk.toString('latin1');
    });
  return { connection: new Http1Connection(far, options), upstream: near, received: () => received };
}

export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2));
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    error => errorCode(error),
  );
}

/** Sends one request and lets the upstream write `bytes` once it has the head. */
export async function ask(
  bytes: string,
  request = outbound(),
  options?: ClientOptions,
): Promise<Wire & { answer: ConnectionAnswer }> {
  const line = await wire(options);
  const answer = line.connection.send(request, NEVER);
  await until(() => line.received().includes('\r\n\r\n'));
  line.upstream.write(bytes, 'latin1');
  return { ...line, answer: await answer };
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
export const text = (body: string): Uint8Array => Buffer.from(body);
export const parts = (...all: string[]): Readable => Readable.from(all.map(text), { objectMode: false });
