/** Answers of an upstream: our reader and llhttp. */
import assert from 'node:assert';
import { emitResponseHead } from '../../src/proxy/http1/write.js';
import type { Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { endToEnd, hasPaddedCoding, withoutNominated } from '../references/fields.js';
import { readResponse } from '../references/http1.js';
import { llhttpResponses } from '../references/llhttp.js';
import { bytesOf, short } from '../seeds.js';
import { HTTP1_TOKENS } from './http1-tokens.js';

export const responseHead: Target = {
  name: 'response-head',
  promise: 'what our answer reader and llhttp both accept reads the same; what we write reads as itself',
  seeds: () => [...short(bytesOf('responses', 'upstream_raw_b64')), ...VALID],
  tokens: HTTP1_TOKENS,
  check,
};

const VALID = [
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc',
  'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n',
  'HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n',
  'HTTP/1.0 301 Moved\r\nLocation: /\r\n\r\nuntil the end',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
].map(text => Buffer.from(text, 'latin1'));

function check(input: Buffer, random: Random): string {
  const method = random.pick(['GET', 'HEAD', 'POST']);
  const ours = readResponse(input, method);
  const theirs = llhttpResponses(input, method);
  const [other] = theirs.messages;
  if (typeof ours === 'string' || 'fault' in ours) {
    return other?.complete && theirs.error === null ? 'llhttp alone' : 'refused';
  }
  const written = emitResponseHead(
    ours.head.status,
    ours.head.reason,
    ours.head.headers,
    ours.head.framing,
    '',
  );
  const again = readResponse(Buffer.concat([Buffer.from(written, 'latin1'), wireOf(ours)]), method);
  assert.ok(typeof again === 'object' && 'head' in again, 'what we write is refused by ourselves');
  assert.equal(again.head.status, ours.head.status);
  assert.deepStrictEqual(again.head.headers, ours.head.headers);
  if (other === undefined) {
    assert.ok(theirs.error !== null, 'an answer of ours is none for llhttp');
    return 'ours alone';
  }
  assert.equal(ours.head.status, other.status, 'status');
  assert.equal(ours.head.reason, other.reason, 'reason');
  assert.equal(ours.head.version, other.version, 'version');
  assert.deepStrictEqual(endToEnd(ours.head.headers), endToEnd(withoutNominated(other.headers)), 'fields');
  // Behind a 101 or an upgrade llhttp reads nothing; a second message that is none is not this one's fault.
  // A 1xx and a 205 end with their head (RFC 9112 §6.3, RFC 9110 §15.3.6), whatever they announce; not for llhttp.
  if (ours.head.status < 200 || ours.head.status === 205) return 'both heads';
  if (other.upgrade || (theirs.error !== null && !other.complete)) return 'both heads';
  if (hasPaddedCoding(input)) return 'both heads';
  assert.equal(ours.body.toString('latin1'), other.body.toString('latin1'), 'content');
  assert.equal(ours.complete, other.complete, 'whether the content is whole');
  return 'both';
}

/** Content in the framing that the head announced, as good as it is for reading the head again. */
function wireOf({
  head,
  body,
}: {
  readonly head: { readonly framing: { readonly kind: string } };
  readonly body: Buffer;
}): Buffer {
  return head.framing.kind === 'chunked' ? Buffer.from('0\r\n\r\n') : body;
}
