/** DNS messages: queries of a sandbox, answers of a name server. */
import assert from 'node:assert';
import { decode } from 'dns-packet';
import { parseHostname } from '../../src/core/host.js';
import { parseQuery, type Query, RCODE } from '../../src/dns/message.js';
import { emitReply } from '../../src/dns/reply.js';
import { emitQuestion, readAnswer } from '../../src/dns/upstream-message.js';
import type { Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { bytesOf, short } from '../seeds.js';

export const dns: Target = {
  name: 'dns',
  promise:
    'a query that is accepted reads the same for dns-packet, its answer too; no answer of a server is misread',
  seeds: () => [...short(bytesOf('dns', 'packet_hex', 'hex')), ...answers()],
  tokens: [
    '\xc0\x0c',
    '\0',
    '\x3f',
    '\x40',
    '\x07allowed\x04test\0',
    '\0\x01\0\x01',
    '\0\x1c\0\x01',
    '\0\0\x29\x10\0\0\0\0\0\0\0',
    '\xff\xff',
    '\0\x05\0\x01',
    '\xc0\xff',
  ],
  check,
};

const NAME = parseHostname('allowed.test');

function asked() {
  if (!NAME.ok) throw new Error('unreachable');
  return emitQuestion(NAME.value, 4, 0x1234);
}

/** Answers to `asked`: an address, and an alias with its address. */
function answers(): Buffer[] {
  const question = Buffer.from(asked().packet.subarray(12));
  const head = (count: number): Buffer =>
    Buffer.from(`12348180000100${count.toString(16).padStart(2, '0')}00000000`, 'hex');
  const address = Buffer.from('c00c000100010000003c00045db8d70e', 'hex');
  const alias = Buffer.from('c00c000500010000003c00070161c00cc0ff00', 'hex');
  return [Buffer.concat([head(1), question, address]), Buffer.concat([head(2), question, alias, address])];
}

/** The sections behind the answers, which we do not read: dns-packet would find fault with them. */
function withAnswersAlone(input: Buffer): Buffer {
  const alone = Buffer.from(input);
  alone.fill(0, 8, 12);
  return alone;
}

function check(input: Buffer, random: Random): string {
  const server = readAnswer(input, asked());
  if (server.ok && server.value.kind === 'addresses') {
    for (const { family, bytes } of server.value.addresses) assert.equal(bytes.length, family === 4 ? 4 : 16);
    const reference = decoded(withAnswersAlone(input));
    const answers = reference?.answers ?? [];
    const known = new Set(answers.flatMap(record => (record.type === 'A' ? [record.data] : [])));
    // It reads data of types that we pass over, and may find fault with it.
    for (const { text } of reference === null ? [] : server.value.addresses)
      assert.ok(known.has(text), `${text} stands in no A record`);
  }
  const query = parseQuery(input);
  if (!query.ok) {
    assert.ok(query.error.rcode !== RCODE.noError);
    return server.ok ? 'an answer' : 'refused';
  }
  const { value } = query;
  sameQuery(value, input);
  sameReply(value, random);
  return 'a query';
}

function decoded(bytes: Uint8Array): ReturnType<typeof decode> | null {
  try {
    return decode(Buffer.from(bytes));
  } catch {
    // The reference does not accept it: there is nothing to compare with.
    return null;
  }
}

function sameQuery(query: Query, input: Buffer): void {
  const reference = decoded(input);
  const question = reference?.questions?.[0];
  if (reference === null || question === undefined) return;
  assert.equal(reference.id, query.id, 'id');
  assert.equal(reference.questions?.length, 1, 'questions');
  // Only a plain name has one text: dns-packet does not escape.
  if (query.name !== null) assert.equal(question.name.toLowerCase(), query.name, 'name');
}

/** Our answer echoes the question's bytes, fits, and is understood. */
function sameReply(query: Query, random: Random): void {
  const address = { family: 4, bytes: Uint8Array.of(198, 18, 0, 1), text: '198.18.0.1' } as const;
  const count = random.below(120);
  const reply = {
    rcode: RCODE.noError,
    answers: Array.from({ length: count }, () => ({ kind: 'address', address }) as const),
    ttlSeconds: 60,
    error: { code: 15, text: 'refused' },
  };
  for (const transport of ['udp', 'tcp'] as const) {
    const bytes = emitReply(query, reply, transport);
    if (transport === 'udp')
      assert.ok(bytes.length <= Math.max(512, Math.min(1232, query.edns?.udpBytes ?? 512)));
    assert.ok(Buffer.from(bytes.subarray(12)).indexOf(query.question) === 0, 'the question is not echoed');
    const reference = decoded(bytes);
    if (query.name !== null) assert.ok(reference !== null, 'our answer cannot be decoded');
    const seen = reference?.answers?.length ?? 0;
    assert.ok(reference === null || seen === count || (seen === 0 && bytes.length < 512), 'answers');
  }
}
