/** The event encoder: whatever text a stranger put in, one line that says it. */
import assert from 'node:assert';
import { cut, encodeEvent, LIST_LIMIT, printable, TEXT_LIMIT, URL_LIMIT } from '../../src/events/encode.js';
import { EVENT_VERSION, type Event, type NetworkEvent } from '../../src/events/event.js';
import type { Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { bytesOf, textsOf } from '../seeds.js';

export const events: Target = {
  name: 'events',
  promise: 'an event is one line of bounded length in printable ASCII, and parses back to what went in',
  seeds: () => [...bytesOf('events', 'value_b64'), ...textsOf('events', 'value'), Buffer.alloc(9_000, 'é')],
  tokens: [
    '\r\n',
    '\n',
    '\0',
    '\x1b[31m',
    '\x9b',
    '"',
    '\\',
    '\\u000a',
    '","blocked":false,"x":"',
    '\xe2\x80\xa8',
    '\xef\xbb\xbf',
    '\xed\xa0\x80',
    '\xf0\x9f\x98\x80',
    '\x7f',
    '\x85',
    '__proto__',
    '\xe2\x80\xae',
  ],
  check,
};

/** Texts, the address, four lists, with their markers; six characters for a unit, and the names of the fields. */
const LONGEST_LINE = 6 * (20 * TEXT_LIMIT + URL_LIMIT + 4 * LIST_LIMIT.units) + 16_384;

const ONE_LINE = /^[\x20-\x7e]+\n$/;

function check(input: Buffer, random: Random): string {
  const text = textOf(input, random);
  const other = text.slice(random.below(text.length + 1));
  const event = eventOf(text, other, random);
  const line = encodeEvent(event);
  assert.match(line, ONE_LINE);
  assert.ok(line.length <= LONGEST_LINE, `a line of ${line.length}`);
  const back = JSON.parse(line) as Event;
  assert.equal(back.sandbox, cut(text));
  assert.equal(back.network?.url, cut(other, URL_LIMIT));
  assert.equal(back.network?.host, cut(text));
  assert.equal(back.network?.block_reason, cut(other));
  assert.deepStrictEqual(Object.keys(back), KEYS);
  assert.deepStrictEqual(Object.keys(back.network ?? {}).sort(), Object.keys(event.network ?? {}).sort());
  assert.equal(back.id, cut(other));
  assert.equal(back.gateway_id, cut(text));
  assert.equal(back.network?.would_deny, cut(other));
  assert.equal(back.file?.path, cut(text));
  assert.ok((back.exec?.command.length ?? 0) <= LIST_LIMIT.entries + 1);
  assert.match(`${printable(text)}\n`, /^[\x20-\x7e]*\n$/);
  return PLAIN.test(text) ? 'plain' : 'escaped';
}

/** In this order, so that a person finds them. */
const KEYS = [
  'version',
  'id',
  'type',
  'timestamp',
  'seq',
  'gateway_id',
  'sandbox',
  'network',
  'exec',
  'file',
  'gateway',
];

const PLAIN = /^[\x20-\x7e]*$/;

/** Every kind of string: of bytes, of UTF-8, of any UTF-16 units, lone surrogates among them. */
function textOf(input: Buffer, random: Random): string {
  return input.toString(random.pick(['latin1', 'utf8', 'utf16le'] as const));
}

function eventOf(text: string, other: string, random: Random): Event {
  const network: NetworkEvent = {
    layer: 'http',
    decision: 'deny',
    flow: text,
    request: other,
    method: text,
    url: other,
    host: text,
    port: random.below(65_536),
    status_code: 403,
    request_bytes: random.next(),
    response_bytes: Number.NaN,
    duration_ms: random.next() / 3,
    blocked: true,
    block_reason: other,
    reason: text,
    rule: null,
    destination: other,
    protocol: text,
    secrets: [text, other],
    generation: 1,
    timings: { dns_ms: null, connect_ms: 0.5, tls_ms: random.next(), first_byte_ms: 1, total_ms: 2 },
    would_deny: other,
    location: text,
    traceparent: other,
    annotations: [text],
  };
  const command = Array.from({ length: random.below(600) }, () => (random.below(2) === 0 ? text : other));
  return {
    version: EVENT_VERSION,
    id: other,
    gateway_id: text,
    type: 'request.refused',
    timestamp: 1_700_000_000_000,
    seq: 1,
    sandbox: text,
    network,
    exec: { command, exit_code: null, duration_ms: 1 },
    file: { op: 'write', path: text, size: 1, mode: null },
    gateway: { message: text, detail: [other] },
  };
}
