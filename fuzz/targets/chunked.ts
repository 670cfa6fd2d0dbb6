/** The chunked coding: every split gives the same, llhttp reads the same, and what is written reads as itself. */
import assert from 'node:assert';
import { ChunkedDecoder } from '../../src/proxy/http1/chunked.js';
import { emitChunkSize, emitLastChunk } from '../../src/proxy/http1/write.js';
import { cutAtRandom, pieces, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { llhttpRequests } from '../references/llhttp.js';
import { bytesOf, short } from '../seeds.js';
import { HTTP1_TOKENS } from './http1-tokens.js';

export const chunked: Target = {
  name: 'chunked',
  promise: 'every split of chunked content gives the same content or a fault, and llhttp no other content',
  seeds: () => [...fromCorpus(), ...VALID],
  tokens: HTTP1_TOKENS,
  check,
};

const VALID = [
  '3\r\nabc\r\n0\r\n\r\n',
  'A;x="y;z"\r\n0123456789\r\n1\r\n\r\r\n0\r\nX: y\r\n\r\nrest',
  '000\r\n\r\n',
].map(text => Buffer.from(text, 'latin1'));

/** What stands behind the heads of the corpus's chunked requests. */
function fromCorpus(): Buffer[] {
  return short(bytesOf('smuggling', 'raw_b64')).flatMap(bytes => {
    const end = bytes.indexOf('\r\n\r\n');
    return end > 0 && /chunked/i.test(bytes.toString('latin1', 0, end)) ? [bytes.subarray(end + 4)] : [];
  });
}

interface Reading {
  readonly fault: string | null;
  readonly body: string;
  readonly done: boolean;
  readonly trailers: unknown;
  readonly rest: number;
}

const LIMIT = 100_000;

function read(segments: readonly Buffer[]): Reading {
  const decoder = new ChunkedDecoder(LIMIT);
  let body = '';
  for (const [i, segment] of segments.entries()) {
    const decoded = decoder.push(segment);
    if (!decoded.ok) return { fault: decoded.error, body: '', done: false, trailers: [], rest: 0 };
    for (const piece of decoded.value.pieces) body += piece.toString('latin1');
    if (!decoded.value.done) continue;
    const rest = segments.slice(i + 1).reduce((sum, later) => sum + later.length, decoded.value.rest.length);
    return { fault: null, body, done: true, trailers: decoder.trailers, rest };
  }
  return { fault: null, body, done: false, trailers: [], rest: 0 };
}

const HEAD = 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n';

function check(input: Buffer, random: Random): string {
  const whole = read([input]);
  assert.deepStrictEqual(read(cutAtRandom(input, random)), whole, 'a random cut');
  if (input.length <= 256) {
    assert.deepStrictEqual(read(pieces(input, [...input.keys()])), whole, 'byte by byte');
    for (let at = 1; at < input.length; at++)
      assert.deepStrictEqual(read(pieces(input, [at])), whole, `cut at ${at}`);
  }
  if (whole.fault !== null) return 'refused';
  const body = Buffer.from(whole.body, 'latin1');
  if (body.length > 0 && whole.done) {
    const wire = `${emitChunkSize(body.length)}${whole.body}\r\n${emitLastChunk([], 'CLIENT_PROTOCOL')}`;
    assert.equal(read([Buffer.from(wire, 'latin1')]).body, whole.body, 'what we write');
  }
  const theirs = llhttpRequests(Buffer.concat([Buffer.from(HEAD), input]));
  const [message] = theirs.messages;
  // Behind the end of this message stands another, which is not the subject.
  if (theirs.error !== null && !message?.complete) return 'ours alone';
  assert.equal(message?.body.toString('latin1'), whole.body, 'llhttp reads other content');
  assert.equal(message?.complete, whole.done, 'llhttp reads another end');
  return whole.done ? 'both' : 'both, unfinished';
}
