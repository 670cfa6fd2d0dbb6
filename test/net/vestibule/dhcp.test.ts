import fc from 'fast-check';
import { answerDhcp } from '../../../src/net/vestibule/dhcp.js';
import { TAP_LEASE } from '../../../src/net/vestibule/tap-rules.js';

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const INFORM = 8;

interface Wish {
  readonly kind: number;
  readonly requested?: readonly number[];
  readonly server?: readonly number[];
  readonly flags?: number;
  readonly op?: number;
}

const OURS = [198, 19, 255, 254];
const GATE = [198, 19, 255, 253];

function request({ kind, requested, server, flags = 0, op = 1 }: Wish): Buffer {
  const message = Buffer.alloc(240);
  message.set([op, 1, 6, 0, 9, 8, 7, 6]);
  message.writeUInt16BE(flags, 10);
  message.set([2, 0x53, 0x61, 0x6c, 0x6c, 2], 28);
  message.writeUInt32BE(0x63825363, 236);
  const options = [
    53,
    1,
    kind,
    ...(requested ? [50, 4, ...requested] : []),
    ...(server ? [54, 4, ...server] : []),
  ];
  return Buffer.concat([message, Buffer.from([...options, 255])]);
}

interface Case {
  readonly name: string;
  readonly wish: Wish;
  readonly want: number | null;
}

const cases: readonly Case[] = [
  { name: 'offers the lease', wish: { kind: DISCOVER }, want: OFFER },
  { name: 'acknowledges the lease', wish: { kind: REQUEST, requested: OURS, server: GATE }, want: ACK },
  { name: 'refuses another address', wish: { kind: REQUEST, requested: [10, 0, 0, 9] }, want: NAK },
  {
    name: 'leaves a request to another server alone',
    wish: { kind: REQUEST, requested: OURS, server: [10, 0, 0, 1] },
    want: null,
  },
  { name: 'tells the rest to who has an address', wish: { kind: INFORM }, want: ACK },
  { name: 'does not answer a decline', wish: { kind: DECLINE }, want: null },
  { name: 'does not answer a server', wish: { kind: DISCOVER, op: 2 }, want: null },
];

for (const { name, wish, want } of cases) {
  test(`answerDhcp ${name}`, () => {
    const answer = answerDhcp(request(wish), TAP_LEASE);
    expect(answer === null ? null : answer.bytes[242]).toBe(want);
  });
}

test('an offer holds the address, the mask, the gate as router and resolver, and the MTU', () => {
  const { bytes } = answerDhcp(request({ kind: DISCOVER }), TAP_LEASE) ?? { bytes: Buffer.alloc(0) };
  expect([...bytes.subarray(16, 20)]).toEqual(OURS);
  const options = Buffer.from(bytes.subarray(240)).toString('hex');
  expect(options).toContain(`0104${'fffffffc'}`);
  expect(options).toContain('0304c613fffd');
  expect(options).toContain('0604c613fffd');
  expect(options).toContain('1a02fff0');
});

test('a client that asked for a broadcast gets one', () => {
  expect(answerDhcp(request({ kind: DISCOVER, flags: 0x8000 }), TAP_LEASE)?.broadcast).toBe(true);
  expect(answerDhcp(request({ kind: DISCOVER }), TAP_LEASE)?.broadcast).toBe(false);
});

test('answerDhcp never throws, whatever it reads', () => {
  const head = request({ kind: DISCOVER }).subarray(0, 240);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, whole) => {
      answerDhcp(whole ? Buffer.concat([head, bytes]) : bytes, TAP_LEASE);
    }),
    { seed: 7 },
  );
});
