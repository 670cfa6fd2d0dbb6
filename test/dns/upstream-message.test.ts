import type { Answer, Packet } from 'dns-packet';
import fc from 'fast-check';
import { type Asked, emitQuestion, readAnswer } from '../../src/dns/upstream-message.js';
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

/** A message whose answer section is `records`, `count` of them; the question ends at byte 30, its name begins at 12. */
function answered(count: number, ...records: readonly Uint8Array[]): { bytes: Buffer; asked: Asked } {
  const asked = emitQuestion(NAME, 4, 7);
  const head = Buffer.from(asked.packet);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(count, 6);
  return { bytes: Buffer.concat([head, ...records]), asked };
}

const pointer = (to: number): Buffer => Buffer.of(0xc0 | (to >> 8), to & 0xff);
const record = (owner: Uint8Array, type: number, data: Uint8Array): Buffer =>
  Buffer.concat([owner, Buffer.of(0, type, 0, 1, 0, 0, 0, 9, 0, data.length), data]);
const ADDRESS = Buffer.of(192, 0, 2, 1);
const QUESTION = pointer(12);
const ANSWERS_AT = 30;

const wires: { name: string; count?: number; records: readonly Uint8Array[]; want: string | string[] }[] = [
  { name: 'reads an owner that is a pointer', records: [record(QUESTION, 1, ADDRESS)], want: ['192.0.2.1'] },
  {
    name: 'does not take one label with a dot for two',
    records: [record(Buffer.from('\x0callowed.test\0', 'latin1'), 1, ADDRESS)],
    want: [],
  },
  {
    name: 'leaves other classes out',
    records: [Buffer.from('c00c00010003000000090004c0000201', 'hex')],
    want: [],
  },
  {
    name: 'passes over types that it does not know, whatever they hold',
    records: [record(QUESTION, 99, Buffer.alloc(40, 0xff)), record(QUESTION, 1, ADDRESS)],
    count: 2,
    want: ['192.0.2.1'],
  },
  {
    name: 'does not care for what stands behind the answers',
    records: [record(QUESTION, 1, ADDRESS), Buffer.alloc(9, 0xff)],
    want: ['192.0.2.1'],
  },
  {
    name: 'refuses a pointer to itself',
    records: [record(pointer(ANSWERS_AT), 1, ADDRESS)],
    want: 'malformed',
  },
  { name: 'refuses a pointer forward', records: [record(pointer(200), 1, ADDRESS)], want: 'malformed' },
  { name: 'refuses half a pointer', records: [Buffer.of(0xc0)], want: 'malformed' },
  { name: 'refuses an extended label', records: [record(Buffer.of(0x41, 0), 1, ADDRESS)], want: 'malformed' },
  {
    name: 'refuses a record that is not whole',
    records: [record(QUESTION, 1, ADDRESS).subarray(0, 14)],
    want: 'malformed',
  },
  {
    name: 'refuses a record that is missing',
    count: 2,
    records: [record(QUESTION, 1, ADDRESS)],
    want: 'malformed',
  },
  {
    name: 'refuses an address of five bytes',
    records: [record(QUESTION, 1, Buffer.alloc(5))],
    want: 'malformed',
  },
  {
    name: 'refuses an alias with something behind its name',
    records: [record(QUESTION, 5, Buffer.concat([QUESTION, Buffer.alloc(1)]))],
    want: 'malformed',
  },
  {
    name: 'refuses a name that jumps from pointer to pointer to pointer',
    // Each pointer of the first record's data goes to the one before it.
    records: [
      record(
        QUESTION,
        99,
        Buffer.concat(Array.from({ length: 40 }, (_, i) => pointer(i === 0 ? 12 : 40 + 2 * i))),
      ),
      record(pointer(ANSWERS_AT + 12 + 2 * 39), 1, ADDRESS),
    ],
    count: 2,
    want: 'malformed',
  },
  {
    name: 'refuses a name of more than 255 bytes',
    records: [
      record(
        Buffer.concat([...Array(4).fill(Buffer.from(`\x3f${'a'.repeat(63)}`, 'latin1')), QUESTION]),
        1,
        ADDRESS,
      ),
    ],
    want: 'malformed',
  },
  {
    name: 'stops reading after 256 records',
    count: 65_535,
    records: Array.from({ length: 300 }, () => record(QUESTION, 1, ADDRESS)),
    want: ['192.0.2.1'],
  },
];

test.each(wires)('readAnswer $name', ({ count = 1, records, want }) => {
  const { bytes, asked } = answered(count, ...records);
  expect(texts(readAnswer(bytes, asked))).toEqual(want);
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
