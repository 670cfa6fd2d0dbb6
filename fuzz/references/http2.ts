/** Node's HTTP/2 server over a connection in memory: what it makes of a client's bytes. */
import http2 from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { memoryLink } from '../../test/support/memory-link.js';

export interface PeerRequest {
  readonly stream: number;
  /** Names and values as they came, pseudo-fields included. */
  readonly fields: readonly (readonly [string, string])[];
  body: Buffer;
  ended: boolean;
}

/** Turns of the event loop after which everything in memory has been said. */
const TURNS = 6;

/** The requests that the peer took before it had nothing more to read. */
export async function peerRequests(bytes: Buffer): Promise<readonly PeerRequest[]> {
  const requests: PeerRequest[] = [];
  const server = http2.createServer();
  server.on('sessionError', () => undefined);
  server.on('stream', ((
    stream: http2.ServerHttp2Stream,
    _headers: unknown,
    _flags: unknown,
    raw: readonly string[],
  ) => {
    const request: PeerRequest = {
      stream: stream.id ?? 0,
      fields: pairs(raw),
      body: Buffer.alloc(0),
      ended: false,
    };
    requests.push(request);
    stream.on('error', () => undefined); // A reset is the client's way to end it.
    stream.on('data', (chunk: Buffer) => {
      request.body = Buffer.concat([request.body, chunk]);
    });
    stream.on('end', () => {
      request.ended = !stream.aborted;
    });
    // Node's types forget the fourth argument, the raw fields in their order.
  }) as (...args: unknown[]) => void);
  const { near, far } = memoryLink();
  near.on('error', () => undefined).resume();
  far.on('error', () => undefined);
  server.emit('connection', far);
  near.write(bytes);
  for (let i = 0; i < TURNS; i++) await turn();
  near.destroy();
  far.destroy();
  await turn();
  return requests;
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return list;
}
