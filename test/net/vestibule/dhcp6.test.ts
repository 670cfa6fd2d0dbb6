import fc from 'fast-check';
import { emitRouterAdvertisement } from '../../../src/net/vestibule/advertisement.js';
import { answerDhcp6 } from '../../../src/net/vestibule/dhcp6.js';
import { TAP_LEASE } from '../../../src/net/vestibule/tap-rules.js';

const SOLICIT = 1;
const ADVERTISE = 2;
const REQUEST = 3;
const CONFIRM = 4;
const RENEW = 5;
const REBIND = 6;
const REPLY = 7;
const RELEASE = 8;
const DECLINE = 9;
const INFORM = 11;

type Option = readonly [code: number, value: Uint8Array];

const LEASED = Buffer.from('fd53616c6c7900000000000000000002', 'hex');
const client: Option = [1, Buffer.of(0, 4, 1, 2, 3)];
const server: Option = [2, Buffer.from('0003000102536'.concat('16c6c01'), 'hex')];
const other: Option = [2, Buffer.of(0, 4, 9)];
const address = (...inside: readonly Option[]): Option => [
  3,
  Buffer.concat([Buffer.alloc(12, 7), emit(inside)]),
];
const claimed = (bytes: Uint8Array): Option => [5, Buffer.concat([bytes, Buffer.alloc(8)])];

function emit(options: readonly Option[]): Buffer {
  return Buffer.concat(
    options.flatMap(([code, value]) => [
      Buffer.of(code >> 8, code & 255, value.length >> 8, value.length & 255),
      value,
    ]),
  );
}

const message = (kind: number, ...options: readonly Option[]): Buffer =>
  Buffer.concat([Buffer.of(kind, 0xa, 0xb, 0xc), emit(options)]);

function parse(bytes: Uint8Array): readonly Option[] {
  const all = Buffer.from(bytes);
  const options: Option[] = [];
  for (let at = 0; at < all.length; at += 4 + all.readUInt16BE(at + 2))
    options.push([all.readUInt16BE(at), all.subarray(at + 4, at + 4 + all.readUInt16BE(at + 2))]);
  return options;
}

const cases = [
  { name: 'offers the lease', ask: message(SOLICIT, client, address()), want: ADVERTISE, leased: true },
  {
    name: 'gives it at once where that is asked for',
    ask: message(SOLICIT, client, [14, new Uint8Array()], address()),
    want: REPLY,
    leased: true,
  },
  { name: 'gives it', ask: message(REQUEST, client, server, address()), want: REPLY, leased: true },
  {
    name: 'renews it',
    ask: message(RENEW, client, server, address(claimed(LEASED))),
    want: REPLY,
    leased: true,
  },
  {
    name: 'gives the lease, whatever address is asked for',
    ask: message(REBIND, client, address(claimed(Buffer.alloc(16, 1)))),
    want: REPLY,
    leased: true,
  },
  {
    name: 'confirms the lease',
    ask: message(CONFIRM, client, address(claimed(LEASED))),
    want: REPLY,
    status: 0,
  },
  {
    name: 'does not confirm another address',
    ask: message(CONFIRM, client, address(claimed(Buffer.alloc(16, 1)))),
    want: REPLY,
    status: 4,
  },
  {
    name: 'takes a release',
    ask: message(RELEASE, client, server, address(claimed(LEASED))),
    want: REPLY,
    status: 0,
  },
  {
    name: 'takes a decline',
    ask: message(DECLINE, client, server, address(claimed(LEASED))),
    want: REPLY,
    status: 0,
  },
  { name: 'tells the resolver to who asks for nothing else', ask: message(INFORM), want: REPLY },
  {
    name: 'leaves a request to another server alone',
    ask: message(REQUEST, client, other, address()),
    want: null,
  },
  { name: 'does not answer a request to no server', ask: message(REQUEST, client, address()), want: null },
  {
    name: 'does not answer a solicitation that names a server',
    ask: message(SOLICIT, client, server, address()),
    want: null,
  },
  { name: 'does not answer who has no name', ask: message(SOLICIT, address()), want: null },
  {
    name: 'does not answer a name of more bytes than a name has',
    ask: message(SOLICIT, [1, Buffer.alloc(131, 1)], address()),
    want: null,
  },
  { name: 'does not answer a server', ask: message(REPLY, client, server), want: null },
  { name: 'does not answer a relay', ask: message(12, client), want: null },
  {
    name: 'does not answer what is cut short',
    ask: message(SOLICIT, client, address()).subarray(0, -1),
    want: null,
  },
];

for (const { name, ask, want, leased = false, status } of cases) {
  test(`answerDhcp6 ${name}`, () => {
    const answer = answerDhcp6(ask, TAP_LEASE);
    expect(answer?.[0] ?? null).toBe(want);
    if (answer === null) return;
    expect([...answer.subarray(1, 4)]).toEqual([0xa, 0xb, 0xc]);
    const options = new Map(parse(answer.subarray(4)).map(([code, value]) => [code, Buffer.from(value)]));
    expect(options.get(2)?.equals(server[1])).toBe(true);
    expect(options.get(3)?.includes(LEASED) === true).toBe(leased);
    expect(options.get(13)?.readUInt16BE(0)).toBe(status);
  });
}

test('a second association, a temporary address and a prefix get nothing, and are told so', () => {
  const asked = [client, address(), address(), [4, Buffer.alloc(4, 1)], [25, Buffer.alloc(12, 2)]] as const;
  const answer = answerDhcp6(message(SOLICIT, ...asked), TAP_LEASE);
  const associations = parse(answer?.subarray(4) ?? Buffer.alloc(0)).filter(([code]) =>
    [3, 4, 25].includes(code),
  );
  const inside = associations.map(([code, value]) => parse(value.subarray(code === 4 ? 4 : 12)));
  expect(inside.map(options => options.map(([code]) => code))).toEqual([[5], [13], [13], [13]]);
  expect(inside.slice(1).map(([status]) => Buffer.from(status?.[1] ?? []).readUInt16BE(0))).toEqual([
    2, 2, 6,
  ]);
});

test('answerDhcp6 never throws, whatever it reads, and never offers another address', () => {
  const kind = fc.integer({ min: 0, max: 13 });
  const option = fc.tuple(fc.constantFrom(1, 2, 3, 4, 5, 6, 13, 14, 25), fc.uint8Array({ maxLength: 48 }));
  fc.assert(
    fc.property(
      kind,
      fc.array(option, { maxLength: 6 }),
      fc.uint8Array({ maxLength: 12 }),
      (first, options, more) => {
        const answer = answerDhcp6(Buffer.concat([message(first, client, ...options), more]), TAP_LEASE);
        if (answer === null) return;
        for (const [code, value] of parse(answer.subarray(4))) {
          if (code !== 3) continue;
          for (const [inner, bytes] of parse(value.subarray(12)))
            if (inner === 5) expect(Buffer.from(bytes.subarray(0, 16)).equals(LEASED)).toBe(true);
        }
      },
    ),
    { seed: 7 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => void answerDhcp6(bytes, TAP_LEASE)),
    { seed: 7 },
  );
});

test('the advertisement tells the router, the resolver and the MTU, and no prefix to make addresses of', () => {
  const bytes = Buffer.from(emitRouterAdvertisement(TAP_LEASE));
  expect(bytes[0]).toBe(134);
  expect((bytes[5] ?? 0) & 0xc0).toBe(0xc0);
  const options: Buffer[] = [];
  for (let at = 16; at < bytes.length; at += (bytes[at + 1] ?? 1) * 8)
    options.push(bytes.subarray(at, at + (bytes[at + 1] ?? 1) * 8));
  expect(options.map(option => option[0])).toEqual([1, 5, 3, 25]);
  expect(options[1]?.readUInt32BE(4)).toBe(TAP_LEASE.mtu);
  expect([options[2]?.[2], options[2]?.[3]]).toEqual([64, 0x80]);
  expect(options[3]?.subarray(8).toString('hex')).toBe('fd53616c6c7900000000000000000001');
});
