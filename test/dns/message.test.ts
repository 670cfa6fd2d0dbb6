import fc from 'fast-check';
import { parseQuery, type QueryFault } from '../../src/dns/message.js';
import { emitReply } from '../../src/dns/reply.js';
import { queryBytes } from './support.js';

const PLAIN = queryBytes('allowed.test', 1);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const QNAME = '07616c6c6f776564 0474657374 00';
const withHead = (flags: string, counts: string, rest: string): Buffer =>
  hex(`1234 ${flags} ${counts} ${rest}`);
const longName = (labels: number[]): Buffer =>
  queryBytes(labels.map(length => 'a'.repeat(length)).join('.'), 1);

const faults: { name: string; packet: Buffer; fault: QueryFault; rcode: number | null }[] = [
  {
    name: 'is silent to fewer bytes than a header',
    packet: hex('1234 0100'),
    fault: 'dns-truncated',
    rcode: null,
  },
  {
    name: 'is silent to an answer, which could make a loop',
    packet: queryBytes('allowed.test', 1, { flags: 0x8180 }),
    fault: 'dns-response',
    rcode: null,
  },
  {
    name: 'does not implement UPDATE',
    packet: queryBytes('allowed.test', 1, { flags: 0x2800 }),
    fault: 'dns-opcode',
    rcode: 4,
  },
  {
    name: 'refuses the reserved bit',
    packet: queryBytes('allowed.test', 1, { flags: 0x0140 }),
    fault: 'dns-flags',
    rcode: 1,
  },
  {
    name: 'refuses AA in a query',
    packet: queryBytes('allowed.test', 1, { flags: 0x0500 }),
    fault: 'dns-flags',
    rcode: 1,
  },
  {
    name: 'refuses TC in a query',
    packet: queryBytes('allowed.test', 1, { flags: 0x0300 }),
    fault: 'dns-flags',
    rcode: 1,
  },
  {
    name: 'refuses RA in a query',
    packet: queryBytes('allowed.test', 1, { flags: 0x0180 }),
    fault: 'dns-flags',
    rcode: 1,
  },
  {
    name: 'refuses an rcode in a query',
    packet: queryBytes('allowed.test', 1, { flags: 0x0103 }),
    fault: 'dns-flags',
    rcode: 1,
  },
  {
    name: 'refuses no question',
    packet: withHead('0100', '0000 0000 0000 0000', ''),
    fault: 'dns-counts',
    rcode: 1,
  },
  {
    name: 'refuses two questions',
    packet: withHead('0100', '0002 0000 0000 0000', `${QNAME} 0001 0001 ${QNAME} 0001 0001`),
    fault: 'dns-counts',
    rcode: 1,
  },
  {
    name: 'refuses a query that brings an answer',
    packet: withHead(
      '0100',
      '0001 0001 0000 0000',
      `${QNAME} 0001 0001 c00c 0001 0001 0000003c 0004 01020304`,
    ),
    fault: 'dns-counts',
    rcode: 1,
  },
  {
    name: 'refuses a query with an authority record',
    packet: withHead('0100', '0001 0000 0001 0000', `${QNAME} 0001 0001`),
    fault: 'dns-counts',
    rcode: 1,
  },
  {
    name: 'refuses a question that points to itself',
    packet: withHead('0100', '0001 0000 0000 0000', 'c00c 0001 0001'),
    fault: 'dns-compressed',
    rcode: 1,
  },
  {
    name: 'refuses an extended label type',
    packet: withHead('0100', '0001 0000 0000 0000', '41 61 00 0001 0001'),
    fault: 'dns-compressed',
    rcode: 1,
  },
  {
    name: 'refuses a label that runs past the end',
    packet: withHead('0100', '0001 0000 0000 0000', '3f 6161'),
    fault: 'dns-truncated',
    rcode: 1,
  },
  {
    name: 'refuses a name without its root',
    packet: withHead('0100', '0001 0000 0000 0000', '01 61'),
    fault: 'dns-truncated',
    rcode: 1,
  },
  { name: 'refuses a name of 256 octets', packet: longName([63, 63, 63, 62]), fault: 'dns-name', rcode: 1 },
  { name: 'refuses a class cut short', packet: PLAIN.subarray(0, -1), fault: 'dns-truncated', rcode: 1 },
  {
    name: 'does not implement CHAOS',
    packet: withHead('0100', '0001 0000 0000 0000', `${QNAME} 0010 0003`),
    fault: 'dns-class',
    rcode: 4,
  },
  {
    name: 'does not implement class ANY',
    packet: withHead('0100', '0001 0000 0000 0000', `${QNAME} 0001 00ff`),
    fault: 'dns-class',
    rcode: 4,
  },
  {
    name: 'refuses a class that nobody has defined',
    packet: withHead('0100', '0001 0000 0000 0000', `${QNAME} 0001 0000`),
    fault: 'dns-class',
    rcode: 1,
  },
  {
    name: 'refuses bytes after the question',
    packet: Buffer.concat([PLAIN, Buffer.of(0)]),
    fault: 'dns-trailing',
    rcode: 1,
  },
  {
    name: 'refuses bytes after the OPT record',
    packet: Buffer.concat([queryBytes('allowed.test', 1, { edns: {} }), Buffer.of(0)]),
    fault: 'dns-trailing',
    rcode: 1,
  },
  {
    name: 'refuses a version of EDNS that is not 0',
    packet: withHead('0100', '0001 0000 0000 0001', `${QNAME} 0001 0001 00 0029 0200 00010000 0000`),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses an additional record that is not OPT',
    packet: withHead('0100', '0001 0000 0000 0001', `${QNAME} 0001 0001 00 00fa 00ff 00000000 0000`),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses an OPT record whose owner is not the root',
    packet: withHead('0100', '0001 0000 0000 0001', `${QNAME} 0001 0001 0161 00 0029 0200 00000000 0000`),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses two OPT records',
    packet: withHead(
      '0100',
      '0001 0000 0000 0002',
      `${QNAME} 0001 0001 00 0029 0200 00000000 0000 00 0029 0200 00000000 0000`,
    ),
    fault: 'dns-counts',
    rcode: 1,
  },
  {
    name: 'refuses a client subnet, a letter to a server behind us',
    packet: queryBytes('allowed.test', 1, {
      edns: { optionHex: '000800070001180001 0203'.replace(' ', '') },
    }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses a local EDNS option',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: 'fde90002abcd' } }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses a cookie of a length that no cookie has',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '000a00090102030405060708ff' } }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses padding, which is a bag for any bytes',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '000c0004 00000000'.replace(' ', '') } }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses an NSID that brings something along',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '00030002abcd' } }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses a keepalive that brings something along',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '000b00020010' } }),
    fault: 'dns-edns',
    rcode: 1,
  },
  {
    name: 'refuses an option that runs past its record',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '000a0008010203' } }),
    fault: 'dns-edns',
    rcode: 1,
  },
];

test.each(faults)('parseQuery $name', ({ packet, fault, rcode }) => {
  expect(parseQuery(packet)).toEqual({ ok: false, error: { fault, rcode } });
});

const readings: { name: string; packet: Buffer; want: object }[] = [
  {
    name: 'reads the name in lower case and keeps the question as received',
    packet: queryBytes('AlLoWeD.tEsT', 28),
    want: { name: 'allowed.test', text: 'AlLoWeD.tEsT', type: 28, id: 0x1234, edns: null },
  },
  {
    name: 'reads a query with RD clear',
    packet: queryBytes('allowed.test', 1, { flags: 0 }),
    want: { recursionDesired: false },
  },
  {
    name: 'tolerates AD, which musl and dig set in every query',
    packet: queryBytes('allowed.test', 1, { flags: 0x0120 }),
    want: { name: 'allowed.test' },
  },
  {
    name: 'keeps CD for the answer',
    packet: queryBytes('allowed.test', 1, { flags: 0x0110 }),
    want: { checkingDisabled: true },
  },
  {
    name: 'ignores a client cookie',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '000a00083132333435363738' } }),
    want: { edns: { udpBytes: 1232 } },
  },
  {
    name: 'ignores NSID, keepalive and the algorithms that a stub understands',
    packet: queryBytes('allowed.test', 1, { edns: { optionHex: '00030000000b000000050002080d' } }),
    want: { edns: { udpBytes: 1232 } },
  },
  {
    name: 'takes an EDNS size below 512 for 512',
    packet: queryBytes('allowed.test', 1, { edns: { udpBytes: 0 } }),
    want: { edns: { udpBytes: 512 } },
  },
  { name: 'reads a name of 253 characters', packet: longName([63, 63, 63, 61]), want: { type: 1 } },
  { name: 'has no host for the root', packet: queryBytes('.', 1), want: { name: null, text: '.' } },
  {
    name: 'has no host for a NUL, and escapes it',
    packet: queryBytes('allowed\0ev.test', 1),
    want: { name: null, text: 'allowed\\000ev.test' },
  },
  {
    name: 'has no host for a space',
    packet: queryBytes('a b.test', 1),
    want: { name: null, text: 'a\\032b.test' },
  },
  {
    name: 'has no host for a spelling of an address',
    packet: queryBytes('127.0.0.1', 1),
    want: { name: null, text: '127.0.0.1' },
  },
  {
    name: 'does not take a dot inside a label for the end of it',
    packet: withHead('0100', '0001 0000 0000 0000', '0c 616c6c6f7765642e74657374 00 0001 0001'),
    want: { name: null, text: 'allowed\\046test' },
  },
];

test.each(readings)('parseQuery $name', ({ packet, want }) => {
  expect(parseQuery(packet)).toMatchObject({ ok: true, value: want });
});

test('parseQuery never throws on random bytes, nor on a good query with one byte changed', () => {
  const good = queryBytes('allowed.test', 1, { edns: { optionHex: '000a00083132333435363738' } });
  const mutated = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
    const copy = Buffer.from(good);
    copy[at] = byte;
    return copy;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), mutated), bytes => {
      const query = parseQuery(bytes);
      if (query.ok) expect(query.value.question.length).toBeLessThanOrEqual(259);
    }),
    { seed: 53, numRuns: 3000 },
  );
});

test('parseQuery reads back every name that can be written, and its answer echoes the question', () => {
  const label = fc.stringMatching(/^[A-Za-z0-9_]([A-Za-z0-9_-]{0,20}[A-Za-z0-9_])?$/);
  const name = fc.array(label, { minLength: 1, maxLength: 8 }).map(labels => [...labels, 'test'].join('.'));
  fc.assert(
    fc.property(name, fc.nat(65_535), fc.nat(65_535), (text, type, id) => {
      const packet = queryBytes(text, type, { id });
      const query = parseQuery(packet);
      if (!query.ok) throw new Error(query.error.fault);
      expect(query.value).toMatchObject({ name: text.toLowerCase(), text, type, id });
      const reply = emitReply(query.value, { rcode: 0, answers: [], ttlSeconds: 0 }, 'udp');
      expect(Buffer.from(reply.subarray(12))).toEqual(packet.subarray(12));
    }),
    { seed: 53, numRuns: 500 },
  );
});
