/** A server side on a real loopback socket, with a handler that records what it was given. */
import type { Socket } from 'node:net';
import { parseAddress } from '../../../src/core/address.js';
import { authorityText } from '../../../src/core/authority.js';
import { parseHostname } from '../../../src/core/host.js';
import type { Answer, Body, Exchange, ResponseHead } from '../../../src/proxy/exchange.js';
import type { ConnectionFacts } from '../../../src/proxy/http1/authority.js';
import { type FaultReport, type ServerOptions, serveHttp1 } from '../../../src/proxy/http1/server.js';
import type { SeenRequest } from '../../support/corpus/smuggling-cases.js';
import { readAll, socketPair } from '../../support/loopback.js';

export async function bytesOf(body: Body): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function answer(
  status: number,
  text: string,
  more: Partial<Omit<Answer, 'head'>> & { readonly head?: Partial<ResponseHead> } = {},
): Answer {
  const body = Buffer.from(text, 'latin1');
  const { head, ...rest } = more;
  return {
    head: {
      status,
      reason: '',
      headers: [],
      framing: { kind: 'length', bytes: body.length },
      version: '1.1',
      ...head,
    },
    body,
    trailers: () => [],
    ...rest,
  };
}

export function facts(mode: ConnectionFacts['mode'], name: string | null, port?: number): ConnectionFacts {
  const address = parseAddress('198.18.0.7');
  const hostname = name === null ? null : parseHostname(name);
  if (!address.ok || hostname?.ok === false) throw new Error('bad test facts');
  const scheme = mode === 'tls' ? 'https' : 'http';
  const target = { address: address.value, port: port ?? (mode === 'tls' ? 443 : 80) };
  return { mode, scheme, name: hostname?.value ?? null, target };
}

export interface Recorded {
  readonly requests: SeenRequest[];
  readonly exchanges: Exchange[];
  readonly faults: FaultReport[];
}

/** Answers 200 to `allowed.test` once its content was read, and refuses everything else, as a policy would. */
export function recordingOptions(
  connection: ConnectionFacts,
  more: Partial<ServerOptions> = {},
): Recorded & { options: ServerOptions } {
  const recorded: Recorded = { requests: [], exchanges: [], faults: [] };
  const onExchange = async (exchange: Exchange): Promise<void> => {
    recorded.exchanges.push(exchange);
    const { head, body } = exchange.request;
    const host = authorityText(head.authority);
    if (host !== 'allowed.test') return exchange.respond(answer(403, '{}', { closes: true }));
    const content = await bytesOf(body);
    recorded.requests.push({
      method: head.method,
      target: head.path,
      host,
      body: content.toString('latin1'),
    });
    return exchange.respond(answer(200, 'ok'));
  };
  const onFault = (fault: FaultReport): Uint8Array => {
    recorded.faults.push(fault);
    return Buffer.from(JSON.stringify({ error: 'ErrBadRequest', reason: fault.code }));
  };
  return { ...recorded, options: { ...connection, onExchange, onFault, ...more } };
}

export interface Served {
  readonly client: Socket;
  /** Resolves with all that the server sent. */
  readonly received: Promise<Buffer>;
  /** Settles when the server side is done with the socket. */
  readonly done: Promise<void>;
  close(): void;
}

export async function serve(options: ServerOptions): Promise<Served> {
  const { near, far } = await socketPair();
  const received = readAll(near);
  const done = serveHttp1(far, options);
  const close = (): void => {
    near.destroy();
    far.destroy();
  };
  return { client: near, received, done, close };
}

/** Sends `bytes`, half-closes, and gives everything that came back. */
export async function converse(options: ServerOptions, bytes: string | Uint8Array): Promise<Buffer> {
  const served = await serve(options);
  served.client.end(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  const received = await served.received;
  served.close();
  await served.done;
  return received;
}
