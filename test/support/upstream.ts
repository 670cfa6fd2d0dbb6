/**
 * Recording upstreams on 127.0.0.1, and a client that sends chosen bytes: what a test needs on both sides of the
 * gateway. Close what you start.
 */
import http from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type Answers, readAnswers } from './answers.js';
import { startH2Server, startTlsServer, type TestCa } from './tls.js';

export interface SeenRequest {
  readonly protocol: 'http/1.1' | 'h2';
  /** Which connection of this upstream it came on, from 1. */
  readonly connection: number;
  readonly method: string;
  readonly target: string;
  /** The Host field, or `:authority`; null where there is none. */
  readonly host: string | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly trailers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** Its end was read. */
  readonly whole: boolean;
}

export interface Upstream {
  readonly port: number;
  /** Requests whose head was read, in order; a body grows until its end. */
  readonly requests: readonly SeenRequest[];
  /** Every byte received, TLS taken off; HTTP/1 and raw upstreams only. */
  readonly bytes: Buffer;
  readonly connections: number;
  /** Forgets what was recorded. */
  clear(): void;
  close(): Promise<void>;
}

export interface UpstreamOptions {
  /** Speaks TLS with a leaf of `ca` for `names`. */
  readonly tls?: { readonly ca: TestCa; readonly names: readonly string[] };
  /** Speaks HTTP/2; needs `tls`. */
  readonly h2?: boolean;
  /** The whole answer on the wire, HTTP/1 only. Absent: 200 with the body `ok`. */
  readonly answer?: (request: SeenRequest) => Uint8Array;
}

type Recorded = { -readonly [K in keyof SeenRequest]: SeenRequest[K] };

class Record {
  requests: Recorded[] = [];
  chunks: Buffer[] = [];
  connections = 0;

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  clear(): void {
    this.requests = [];
    this.chunks = [];
    this.connections = 0;
  }
}

/** An upstream that answers every request and remembers it. */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const record = new Record();
  if (options.h2) return startH2Upstream(options, record);
  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (message, response) => {
    void answerHttp1(message, response, record, options);
  });
  server.on('clientError', (_error, socket) => void socket.destroy());
  server.on('upgrade', (message, socket) => void noteHttp1(message, record, socket));
  const take = (socket: Duplex): void => {
    Object.assign(socket, { connection: ++record.connections });
    server.emit('connection', socket);
    socket.on('data', (chunk: Buffer) => record.chunks.push(chunk));
  };
  return listenFor(options, record, take, () => server.closeAllConnections());
}

export interface Script {
  /** What is written once the head of a request has come. */
  readonly answer: Uint8Array;
  /** Ends the connection this long after the answer; null: never. */
  readonly holdMs: number | null;
  /** The path that is answered so; default: `/case`. */
  readonly path?: string;
}

export interface ScriptedUpstream extends Upstream {
  /** Answers requests for `/case`; null, and every other request: 200 with the body `own`. */
  script: Script | null;
}

const OWN = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown';

/** An upstream that answers one path with chosen bytes, right or wrong. Requests have no content. */
export async function startScriptedUpstream(
  options: Pick<UpstreamOptions, 'tls'> = {},
): Promise<ScriptedUpstream> {
  const record = new Record();
  const timers = new Set<NodeJS.Timeout>();
  const state: { script: Script | null } = { script: null };
  const take = (socket: Duplex): void => {
    record.connections += 1;
    let text = '';
    let hold: NodeJS.Timeout | undefined;
    socket.on('data', (chunk: Buffer) => {
      // A connection that is used again is not closed for the request before.
      clearTimeout(hold);
      record.chunks.push(chunk);
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const asked = text.split(' ', 2)[1] === (state.script?.path ?? '/case');
        const script = asked ? state.script : null;
        text = text.slice(end + 4);
        socket.write(script?.answer ?? OWN);
        if (script?.holdMs == null) continue;
        hold = setTimeout(() => socket.end(), script.holdMs);
        timers.add(hold);
      }
    });
  };
  const upstream = await listenFor(options, record, take, () => {
    for (const timer of timers) clearTimeout(timer);
  });
  return Object.defineProperties(upstream, {
    script: {
      get: () => state.script,
      set: (script: Script | null) => void Object.assign(state, { script }),
    },
  }) as ScriptedUpstream;
}

async function listenFor(
  { tls }: UpstreamOptions,
  record: Record,
  take: (socket: Duplex) => void,
  onClose: () => void,
): Promise<Upstream> {
  const inner = tls
    ? await startTlsServer({ ...tls, alpn: ['http/1.1'], handler: take })
    : await startTcpServer(take);
  return facade(record, inner.port, async () => {
    onClose();
    await inner.close();
  });
}

function facade(record: Record, port: number, close: () => Promise<void>): Upstream {
  return {
    port,
    get requests() {
      return record.requests;
    },
    get bytes() {
      return record.bytes;
    },
    get connections() {
      return record.connections;
    },
    clear: () => record.clear(),
    close,
  };
}

/** A bare TCP server on 127.0.0.1: `take` owns each connection. */
export async function startTcpServer(
  take: (socket: net.Socket) => void,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // A peer that hangs up is what some tests are about.
    take(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function noteHttp1(message: http.IncomingMessage, record: Record, socket: Duplex): Recorded {
  const seen: Recorded = {
    protocol: 'http/1.1',
    connection: (socket as Duplex & { connection?: number }).connection ?? 0,
    method: message.method ?? '',
    target: message.url ?? '',
    host: message.headers.host ?? null,
    headers: pairs(message.rawHeaders),
    trailers: [],
    body: Buffer.alloc(0),
    whole: message.headers.upgrade !== undefined,
  };
  record.requests.push(seen);
  return seen;
}

async function answerHttp1(
  message: http.IncomingMessage,
  response: http.ServerResponse,
  record: Record,
  { answer }: UpstreamOptions,
): Promise<void> {
  const seen = noteHttp1(message, record, message.socket);
  try {
    for await (const chunk of message) seen.body = Buffer.concat([seen.body, chunk as Buffer]);
  } catch {
    return; // The gateway gave the request up: there is nobody to answer.
  }
  seen.trailers = pairs(message.rawTrailers);
  seen.whole = true;
  if (answer) message.socket.write(answer(seen));
  else response.end('ok');
}

async function startH2Upstream(options: UpstreamOptions, record: Record): Promise<Upstream> {
  if (!options.tls) throw new TypeError('an HTTP/2 upstream needs `tls`');
  const server = await startH2Server({
    ...options.tls,
    onSession: () => {
      record.connections += 1;
    },
    onStream: (stream, headers, _flags, rawHeaders) => {
      const seen: Recorded = {
        protocol: 'h2',
        connection: record.connections,
        method: headers[':method'] ?? '',
        target: headers[':path'] ?? '',
        host: headers[':authority'] ?? null,
        headers: pairs(rawHeaders),
        trailers: [],
        body: Buffer.alloc(0),
        whole: false,
      };
      record.requests.push(seen);
      stream.on('error', () => undefined); // A reset stream is what some tests are about.
      stream.on('trailers', (_trailers, _trailerFlags, raw?: string[]) => {
        seen.trailers = pairs(raw ?? []);
      });
      stream.on('data', (chunk: Buffer) => {
        seen.body = Buffer.concat([seen.body, chunk]);
      });
      stream.on('end', () => {
        if (stream.destroyed) return;
        seen.whole = true;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
    },
  });
  return facade(record, server.port, () => server.close());
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return list;
}

export interface RawOptions {
  /** Ends our side after this time, in milliseconds; null: never. */
  readonly halfCloseAfterMs?: number | null;
  /** Stops listening after this time, in milliseconds. */
  readonly timeoutMs?: number;
  /** Lengths of the pieces the bytes are sent in; the last one repeats. Absent: one piece. */
  readonly pieces?: readonly number[];
}

/** Sends `bytes` on `socket` and reads until the peer closes or the time is up. Destroys the socket. */
export async function raw(
  socket: Duplex,
  bytes: Uint8Array,
  { halfCloseAfterMs = 300, timeoutMs = 5_000, pieces }: RawOptions = {},
): Promise<Answers> {
  const received: Buffer[] = [];
  let closed = false;
  let closes: () => void = () => undefined;
  const ended = new Promise<void>(resolve => {
    closes = () => {
      closed = true;
      resolve();
    };
  });
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  socket.once('end', closes).once('close', closes).once('error', closes);
  const giveUp = new AbortController();
  for (const piece of split(bytes, pieces)) {
    if (!closed) await new Promise<void>(resolve => void socket.write(piece, () => resolve()));
  }
  // From the last byte on: on a busy machine a byte at a time takes its time.
  const halfClose = halfCloseAfterMs === null ? null : setTimeout(() => socket.end(), halfCloseAfterMs);
  const late = delay(timeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined);
  await Promise.race([ended, late]);
  if (halfClose !== null) clearTimeout(halfClose);
  giveUp.abort();
  socket.destroy();
  return { ...readAnswers(Buffer.concat(received)), closed };
}

function split(bytes: Uint8Array, pieces: readonly number[] = [bytes.length]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (let i = 0; offset < bytes.length; i++) {
    const length = Math.max(1, pieces[Math.min(i, pieces.length - 1)] ?? bytes.length);
    parts.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  return parts;
}
