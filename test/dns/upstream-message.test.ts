import type { Answer, Packet } from 'dns-packet';
import fc from 'fast-check';
import { emitQuestion, readAnswer } from '../../src/dns/upstream-message.js';
import { hostname, serverAnswer } from './support.js';

const NAME = hostname('allowed.test');
const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 60): Answer => ({ type: 'CNAME', name, data, ttl });
const chain = (length: number): Answer[] =>
  Array.from({ length }, (_, i) => cname(i === 0 ? 'allowed.test' : `c${i}.test`, `c${i + 1}.test`));

type Read = ReturnType<typeof readAnswer>;
const texts = (read: Read): unknown => {
  if (!read.ok) return read.error;
  return read.value.kind === 'addresses' ? read.value.addresses.map(({ text }) => text) : read.value.kind;
};

const answers: { name: string; parts: Partial<Packet>; want: string | string[] }[] = [
  {
    name: 'reads the addresses of the name',
    parts: { answers: [a('allowed.test', '192.0.2.1'), a('ALLOWED.test', '192.0.2.2')] },
    want: ['192.0.2.1', '192.0.2.2'],
  },
  {
    name: 'follows an alias',
    parts: { answers: [cname('allowed.test', 'X.evil.test'), a('x.evil.test', '10.0.0.1')] },
    want: ['10.0.0.1'],
  },
  {
    name: 'follows eight aliases',
    parts: { answers: [...chain(8), a('c8.test', '192.0.2.1')] },
    want: ['192.0.2.1'],
  },
  {
    name: 'refuses nine aliases',
    parts: { answers: [...chain(9), a('c9.test', '192.0.2.1')] },
    want: 'chain',
  },
  {
    name: 'refuses a loop of aliases',
    parts: { answers: [cname('allowed.test', 'b.test'), cname('b.test', 'allowed.test')] },
    want: 'chain',
  },
  {
    name: 'refuses two aliases of one name',
    parts: { answers: [cname('allowed.test', 'b.test'), cname('allowed.test', 'c.test')] },
    want: 'chain',
  },
  { name: 'ignores records of another name', parts: { answers: [a('other.test', '192.0.2.1')] }, want: [] },
  {
    name: 'ignores records beside the chain',
    parts: { answers: [cname('allowed.test', 'b.test'), a('c.test', '192.0.2.1')] },
    want: [],
  },
  {
    name: 'ignores records of the other family',
    parts: { answers: [{ type: 'AAAA', name: 'allowed.test', data: '2600::1', ttl: 1 }] },
    want: [],
  },
  {
    name: 'ignores addresses in the additional section',
    parts: { additionals: [a('allowed.test', '192.0.2.1')] },
    want: [],
  },
  {
    name: 'takes 32 of 500 addresses',
    parts: {
      answers: Array.from({ length: 500 }, (_, i) => a('allowed.test', `192.0.${i >> 8}.${i & 255}`)),
    },
    want: Array.from({ length: 32 }, (_, i) => `192.0.0.${i}`),
  },
  { name: 'reads NXDOMAIN', parts: { flags: 0x183 }, want: 'no-name' },
  { name: 'takes SERVFAIL for a refusal', parts: { flags: 0x182 }, want: 'refused' },
  { name: 'asks again where TC is set', parts: { flags: 0x380 }, want: 'truncated' },
  {
    name: 'does not hear an answer to another question',
    parts: { questions: [{ type: 'A', name: 'other.test' }], answers: [a('other.test', '192.0.2.1')] },
    want: 'mismatch',
  },
  {
    name: 'does not hear an answer to another type',
    parts: { questions: [{ type: 'AAAA', name: 'allowed.test' }] },
    want: 'mismatch',
  },
  { name: 'does not hear another id', parts: { id: 8 }, want: 'mismatch' },
  { name: 'does not hear a query', parts: { type: 'query' }, want: 'mismatch' },
];

test.each(answers)('readAnswer $name', ({ parts, want }) => {
  const asked = emitQuestion(NAME, 4, 7);
  expect(texts(readAnswer(serverAnswer(asked.packet, parts), asked))).toEqual(want);
});

test('readAnswer takes the least TTL of the chain, and one with its top bit set for zero', () => {
  const asked = emitQuestion(NAME, 4, 7);
  const ttlOf = (...records: Answer[]) => {
    const read = readAnswer(serverAnswer(asked.packet, { answers: records }), asked);
    return read.ok ? read.value.ttlSeconds : read.error;
  };
  expect(ttlOf(cname('allowed.test', 'b.test', 7), a('b.test', '192.0.2.1', 50))).toBe(7);
  expect(ttlOf(a('allowed.test', '192.0.2.1', 2 ** 31))).toBe(0);
});

test('readAnswer never throws on random bytes, nor on a good answer with some bytes changed', () => {
  const asked = emitQuestion(NAME, 4, 7);
  const good = serverAnswer(asked.packet, { answers: [...chain(3), a('c3.test', '192.0.2.1')] });
  const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 });
  const mutated = changes.map(list => {
    const copy = Buffer.from(good);
    for (const [at, byte] of list) copy[at] = byte;
    return copy;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), bytes => {
      const read = readAnswer(bytes, asked);
      if (read.ok && read.value.kind === 'addresses')
        expect(read.value.addresses.length).toBeLessThanOrEqual(32);
    }),
    { seed: 53, numRuns: 2000 },
  );
});
