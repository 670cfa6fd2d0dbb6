/** What the gateway's own HTTP/1 readers make of a stream, in a form that can be compared. Pure. */
import { parseAddress } from '../../src/core/address.js';
import { type Authority, DEFAULT_PORT, type Scheme } from '../../src/core/authority.js';
import type { HeaderList } from '../../src/core/headers.js';
import type { RequestHead, ResponseHead } from '../../src/proxy/exchange.js';
import { AuthorityReader, type ConnectionFacts } from '../../src/proxy/http1/authority.js';
import { type BodyDecoder, CloseDecoder, LengthDecoder } from '../../src/proxy/http1/body.js';
import { ChunkedDecoder } from '../../src/proxy/http1/chunked.js';
import { FieldReader } from '../../src/proxy/http1/fields.js';
import { HEAD_LIMITS, scanHead } from '../../src/proxy/http1/head-scan.js';
import { RequestIntake } from '../../src/proxy/http1/request-intake.js';
import { isHeadOnly, parseResponseHead } from '../../src/proxy/http1/response-head.js';

export interface ReadRequest {
  readonly head: RequestHead;
  /** Of a content that is cut short, what there is. */
  body: Buffer;
  trailers: HeaderList;
  complete: boolean;
}

export interface RequestsRead {
  readonly requests: readonly ReadRequest[];
  readonly connect: Authority | null;
  /** The fault that ended the reading, or null. */
  readonly fault: string | null;
}

/** Most content of one message: the readers' limit, not the fuzzer's. */
const CONTENT_BYTES = 1_000_000;

/** The most accepting facts: a flow to an address, so that Host decides. */
export function openFacts(scheme: Scheme = 'http'): ConnectionFacts {
  const address = parseAddress('198.18.0.7');
  if (!address.ok) throw new Error('unreachable');
  const target = { address: address.value, port: DEFAULT_PORT[scheme] };
  return { mode: 'transparent', scheme, name: null, target };
}

/** All requests of a stream that arrives in `segments`, until the first fault. */
export function readRequests(segments: readonly Buffer[], facts: ConnectionFacts): RequestsRead {
  const reading = {
    facts,
    authorities: new AuthorityReader(facts),
    fields: new FieldReader(200),
    contentBytes: CONTENT_BYTES,
  };
  const intake = new RequestIntake(reading, HEAD_LIMITS);
  const requests: ReadRequest[] = [];
  let open: { readonly request: ReadRequest; readonly decoder: BodyDecoder } | null = null;
  for (const segment of segments) {
    let bytes = segment;
    if (open !== null) {
      const { request, decoder } = open as { request: ReadRequest; decoder: BodyDecoder };
      const decoded = decoder.push(bytes);
      if (!decoded.ok) return { requests, connect: null, fault: decoded.error };
      request.body = Buffer.concat([request.body, ...decoded.value.pieces]);
      if (!decoded.value.done) continue;
      Object.assign(request, { complete: true, trailers: decoder.trailers });
      bytes = decoded.value.rest;
      open = null;
    }
    if (bytes.length > 0) intake.unread.append(bytes);
    while (open === null && !intake.idle) {
      const step = intake.read();
      if (step.kind === 'incomplete') break;
      if (step.kind === 'fault') return { requests, connect: null, fault: step.code };
      if (step.kind === 'connect') return { requests, connect: step.authority, fault: null };
      const { head, content } = step;
      if (content.kind === 'whole') {
        requests.push({ head, body: Buffer.from(content.body), trailers: content.trailers, complete: true });
        continue;
      }
      const { decoder, first } = content;
      const body = Buffer.concat(first?.pieces ?? []);
      const request: ReadRequest = { head, body, trailers: [], complete: first?.done ?? false };
      requests.push(request);
      if (!request.complete) open = { request, decoder };
      else Object.assign(request, { trailers: decoder.trailers });
    }
  }
  return { requests, connect: null, fault: null };
}

export interface ReadResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
  readonly trailers: HeaderList;
  readonly complete: boolean;
  /** What came behind it. */
  readonly rest: Buffer;
}

export type ResponseOutcome = ReadResponse | 'incomplete' | { readonly fault: string };

/** The first answer of `bytes`, after which the connection ends. */
export function readResponse(bytes: Buffer, method: string): ResponseOutcome {
  const length = scanHead(bytes, 0, HEAD_LIMITS);
  if (!length.ok) return { fault: length.error };
  if (length.value === 'incomplete') return 'incomplete';
  const parsed = parseResponseHead(bytes.toString('latin1', 0, length.value), method, new FieldReader(200));
  if (!parsed.ok) return { fault: parsed.error };
  const { head } = parsed.value;
  const after = bytes.subarray(length.value);
  const decoder = decoderFor(head, method);
  if (decoder === null) return { head, body: Buffer.alloc(0), trailers: [], complete: true, rest: after };
  const decoded = decoder.push(after);
  if (!decoded.ok) return { fault: decoded.error };
  const { pieces, done, rest } = decoded.value;
  return {
    head,
    body: Buffer.concat(pieces),
    trailers: decoder.trailers,
    complete: done || decoder.endsWithInput,
    rest,
  };
}

function decoderFor({ status, framing }: ResponseHead, method: string): BodyDecoder | null {
  if (isHeadOnly(status, method) || framing.kind === 'none') return null;
  if (framing.kind === 'close') return new CloseDecoder();
  if (framing.kind === 'chunked') return new ChunkedDecoder(CONTENT_BYTES);
  return framing.bytes === 0 ? null : new LengthDecoder(framing.bytes);
}
