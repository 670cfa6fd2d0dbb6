/** Request heads and what follows them: our reader, llhttp, and what we would write. */
import assert from 'node:assert';
import { authorityText, parseUrl } from '../../src/core/authority.js';
import { emitOutbound } from '../../src/proxy/http1/outbound.js';
import { cutAtRandom, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { endToEnd, withoutNominated } from '../references/fields.js';
import { openFacts, type ReadRequest, readRequests } from '../references/http1.js';
import { type LlhttpMessage, llhttpRequests } from '../references/llhttp.js';
import { bytesOf, short } from '../seeds.js';
import { HTTP1_TOKENS } from './http1-tokens.js';

const FACTS = openFacts();

export const head: Target = {
  name: 'head',
  promise:
    'what our request reader and llhttp both accept reads the same, however it is cut; what we write reads as itself',
  seeds: () => [...short(bytesOf('smuggling', 'raw_b64')), ...VALID],
  tokens: HTTP1_TOKENS,
  check,
};

const VALID = [
  'GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
  'GET /a?b=c HTTP/1.1\r\nHost: allowed.test\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n',
  'POST /p?q=1 HTTP/1.1\r\nHost: allowed.test\r\nA: b\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b.test\r\n\r\n',
  'POST /p HTTP/1.1\r\nHost: allowed.test:8080\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n',
  'PUT http://allowed.test/p HTTP/1.0\r\nHost: allowed.test\r\nContent-Length: 0\r\n\r\n',
  'GET /ws HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
].map(text => Buffer.from(text, 'latin1'));

function check(input: Buffer, random: Random): string {
  const whole = readRequests([input], FACTS);
  const cut = readRequests(cutAtRandom(input, random), FACTS);
  // A fault in content is told later when the content comes later; that it is told may not depend on the cut.
  assert.equal(cut.fault === null, whole.fault === null, 'the cut decides whether it is a request');
  if (whole.fault === null) assert.deepStrictEqual(readable(cut.requests), readable(whole.requests));
  whole.requests.forEach(readsAsWritten);
  const theirs = llhttpRequests(input);
  let compared = 0;
  for (const [i, ours] of whole.requests.entries()) {
    const other = theirs.messages[i];
    if (other === undefined) {
      // Ours is one that llhttp has not seen: only an error of its own, or an upgrade before it, can be why.
      const stopped = theirs.error !== null || theirs.messages.some(message => message.upgrade);
      assert.ok(stopped, `request ${i} is none for llhttp`);
      break;
    }
    same(ours, other, theirs.error === null);
    compared += 1;
    if (other.upgrade) break;
  }
  if (compared > 0) return whole.fault === null && theirs.error === null ? 'both' : 'both at first';
  if (whole.requests.length > 0 || whole.connect !== null) return 'ours alone';
  return theirs.messages.some(message => message.complete) && theirs.error === null
    ? 'llhttp alone'
    : 'refused';
}

function readable(requests: readonly ReadRequest[]): unknown {
  return requests.map(({ head: { headBytes: _, ...rest }, body, trailers, complete }) => ({
    ...rest,
    authority: authorityText(rest.authority),
    body: body.toString('latin1'),
    trailers,
    complete,
  }));
}

function same(ours: ReadRequest, theirs: LlhttpMessage, clean: boolean): void {
  const { head: mine } = ours;
  assert.equal(mine.method, theirs.method, 'method');
  assert.equal(mine.version, theirs.version, 'version');
  assert.deepStrictEqual(endToEnd(mine.headers), endToEnd(withoutNominated(theirs.headers)), 'fields');
  const hosts = theirs.headers.filter(([name]) => name.toLowerCase() === 'host');
  assert.equal(hosts.length, 1, 'Host fields');
  const claimed = parseUrl(`http://${hosts[0]?.[1] ?? ''}/`);
  assert.ok(claimed.ok, 'Host');
  assert.equal(authorityText(mine.authority), authorityText(claimed.value.authority), 'authority');
  assert.equal(mine.path, originForm(theirs.target, mine.method), 'target');
  if (!clean || theirs.upgrade) return;
  assert.equal(ours.complete, theirs.complete, 'whether the content is whole');
  assert.equal(ours.body.toString('latin1'), theirs.body.toString('latin1'), 'content');
  // Trailers of an empty content go with it: the request is forwarded without content (RFC 9110 §6.5.1 lets them).
  if (ours.complete && mine.framing.kind === 'chunked')
    assert.deepStrictEqual(endToEnd(ours.trailers), endToEnd(theirs.trailers), 'trailers');
}

function originForm(target: string, method: string): string {
  const path = target.replace(/^http:\/\/[^/?]*/i, '');
  if (path === '' && target !== '') return method === 'OPTIONS' ? '*' : '/';
  return path.startsWith('?') ? `/${path}` : path;
}

/** The request as it goes upstream, read by both readers: one request, the same one. */
function readsAsWritten(request: ReadRequest): void {
  if (!request.complete) return;
  const { head: asked, body, trailers } = request;
  const host = authorityText(asked.authority);
  const outbound = emitOutbound({
    head: asked,
    path: asked.path,
    host,
    headers: asked.headers,
    body,
    trailers: () => trailers,
    sensitive: new Set(),
    inform: () => undefined,
  });
  const wire =
    typeof outbound.whole === 'string'
      ? Buffer.from(outbound.whole, 'latin1')
      : Buffer.from(outbound.whole ?? []);
  const again = readRequests([wire], openFacts());
  assert.equal(again.fault, null, 'what we write is refused by ourselves');
  assert.equal(again.requests.length, 1, 'what we write is one request');
  const theirs = llhttpRequests(wire);
  const known = theirs.error === null || theirs.error === 'HPE_INVALID_METHOD';
  assert.ok(
    known && theirs.messages.length <= 1,
    `what we write is ${theirs.messages.length} requests for llhttp, ${theirs.error}`,
  );
  const [read] = again.requests;
  assert.deepStrictEqual(
    [
      read?.head.method,
      read?.head.path,
      read?.head.headers.filter(([name]) => name !== 'Trailer'),
      read?.body,
    ],
    [asked.method, asked.path, asked.headers.filter(([name]) => name !== 'Trailer'), body],
    'what we write reads as another request',
  );
}
