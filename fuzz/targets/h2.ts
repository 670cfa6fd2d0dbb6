/** HTTP/2 requests: our reader, and Node's server as a second opinion. */
import assert from 'node:assert';
import type { HeaderList } from '../../src/core/headers.js';
import { AuthorityReader } from '../../src/proxy/http1/authority.js';
import { FrameReader } from '../../src/proxy/http2/frame-reader.js';
import { HpackDecoder } from '../../src/proxy/http2/hpack-decoder.js';
import { parseHead, SectionReader } from '../../src/proxy/http2/request-head.js';
import type { Target } from '../engine/target.js';
import { openFacts } from '../references/http1.js';
import { type PeerRequest, peerRequests } from '../references/http2.js';
import { bytesOf, short } from '../seeds.js';
import { H2_TOKENS } from './h2-frames.js';

export const h2: Target = {
  name: 'h2',
  promise: 'what our HTTP/2 reader and Node both accept reads the same: fields, content and its end',
  seeds: () => short(bytesOf('h2', 'raw_b64')),
  tokens: H2_TOKENS,
  check,
};

interface OurRequest {
  readonly fields: HeaderList;
  body: Buffer;
  ended: boolean;
  /** Reset by the client, or followed by trailers: how much of it the peer tells is its business. */
  disturbed: boolean;
}

async function check(input: Buffer): Promise<string> {
  const { requests, fault } = ours(input);
  if (requests.size === 0) return 'refused';
  const peer = await peerRequests(input);
  let compared = 0;
  for (const [stream, request] of requests) {
    const other = peer.find(one => one.stream === stream);
    if (other === undefined) continue;
    same(request, other, fault);
    compared += 1;
  }
  return compared > 0 ? 'both' : 'ours alone';
}

/** Streams whose first list is a request, in the bytes before the first fault. */
function ours(input: Buffer): {
  readonly requests: ReadonlyMap<number, OurRequest>;
  readonly fault: boolean;
} {
  const lists = new HpackDecoder({ bytes: 65_536, fields: 200 });
  const authorities = new AuthorityReader(openFacts('https'));
  const sections = new SectionReader();
  const requests = new Map<number, OurRequest>();
  const seen = new Set<number>();
  const batch = new FrameReader().push(Buffer.from(input));
  for (const frame of batch.frames) {
    if (frame.type === 'headers') {
      const list = lists.decode(frame.block);
      if (!list.ok) return { requests, fault: true };
      const known = requests.get(frame.stream);
      if (known !== undefined) known.disturbed = true;
      if (seen.has(frame.stream) || frame.stream % 2 === 0 || list.value.tooLong) continue;
      seen.add(frame.stream);
      const reading = {
        authorities,
        sections,
        endStream: frame.end,
        contentBytes: 1e6,
        wireBytes: frame.wireBytes,
      };
      if (!parseHead(list.value.fields, reading).ok) continue;
      requests.set(frame.stream, {
        fields: list.value.fields,
        body: Buffer.alloc(0),
        ended: frame.end,
        disturbed: false,
      });
    } else if (frame.type === 'data') {
      const request = requests.get(frame.stream);
      if (request === undefined) continue;
      if (request.ended) request.disturbed = true;
      request.body = Buffer.concat([request.body, frame.bytes]);
      request.ended ||= frame.end;
    } else if (frame.type === 'reset' || frame.type === 'bad' || frame.type === 'window') {
      const request = requests.get(frame.stream);
      if (request !== undefined) request.disturbed = true;
    }
  }
  return { requests, fault: batch.fault !== null };
}

function same(request: OurRequest, other: PeerRequest, fault: boolean): void {
  assert.deepStrictEqual(inOrder(request.fields), inOrder(other.fields), 'fields');
  if (fault || request.disturbed || !request.ended || !other.ended) return;
  assert.equal(request.body.toString('latin1'), other.body.toString('latin1'), 'content');
}

/** Node gives crumbs of a cookie and the other fields as they came; an empty value it may leave out. */
function inOrder(fields: HeaderList): string[] {
  return fields.map(([name, value]) => `${name}: ${value}`);
}
