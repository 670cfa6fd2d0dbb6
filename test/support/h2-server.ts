/** The HTTP/2 side on one end of a link in memory, and clients for the other. */

import { once } from 'node:events';
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { parseAddress } from '../../src/core/address.js';
import type { HeaderList } from '../../src/core/headers.js';
import { parseHostname } from '../../src/core/host.js';
import type { Answer } from '../../src/proxy/exchange.js';
import type { FaultReport } from '../../src/proxy/http1/server.js';
import type { SessionFault } from '../../src/proxy/http2/frame-payload.js';
import { type Http2Options, serveHttp2 } from '../../src/proxy/http2/server.js';
import { framesOf, type SeenFrame } from './h2-frames.js';
import { memoryLink } from './memory-link.js';

const NAME = parseHostname('allowed.test');
const ADDRESS = parseAddress('192.0.2.1');
if (!NAME.ok || !ADDRESS.ok) throw new Error('unreachable');
const FACTS = { scheme: 'https', name: NAME.value, target: { address: ADDRESS.value, port: 443 } } as const;

export interface Served {
  readonly far: Duplex;
  readonly served: Promise<void>;
  readonly faults: FaultReport[];
  readonly sessionFaults: SessionFault[];
}

export function serve(onExchange: Http2Options['onExchange'], limits: Http2Options['limits'] = {}): Served {
  const { near, far } = memoryLink();
  const faults: FaultReport[] = [];
  const sessionFaults: SessionFault[] = [];
  const onFault = (fault: FaultReport): Uint8Array => {
    faults.push(fault);
    return Buffer.from('{"reason":"test"}');
  };
  const onSessionFault = (fault: SessionFault): void => void sessionFaults.push(fault);
  const served = serveHttp2(near, { ...FACTS, onExchange, onFault, onSessionFault, limits });
  return { far, served, faults, sessionFaults };
}

/** Node's client on the far end. */
export function connect(served: Served): http2.ClientHttp2Session {
  const session = http2.connect('https://allowed.test', { createConnection: () => served.far });
  session.on('error', () => {}); // what ends a session is asserted where it matters
  return session;
}

export function answerOf(
  body: Answer['body'],
  more: Partial<Answer['head']> = {},
  trailers: HeaderList = [],
): Answer {
  const head = {
    status: 200,
    reason: '',
    headers: [],
    framing: { kind: 'chunked' },
    version: '1.1',
  } as const;
  return { head: { ...head, ...more }, body, trailers: () => trailers };
}

export async function contentOf(body: Answer['body']): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

export interface ClientAnswer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly content: Buffer;
  readonly trailers: http2.IncomingHttpHeaders;
}

export async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  content?: Buffer,
): Promise<ClientAnswer> {
  const stream = session.request(headers, { endStream: content === undefined });
  if (content !== undefined) stream.end(content);
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on('trailers', fields => {
    trailers = fields;
  });
  const [head] = await once(stream, 'response');
  return { headers: head, content: await contentOf(stream), trailers };
}

/** Reads frames until `enough`, or the end. */
export async function framesUntil(
  far: Served['far'],
  enough: (frames: SeenFrame[]) => boolean,
): Promise<SeenFrame[]> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of far.iterator({ destroyOnReturn: false })) {
    bytes = Buffer.concat([bytes, chunk]);
    const frames = framesOf(bytes);
    if (enough(frames)) return frames;
  }
  return framesOf(bytes);
}
