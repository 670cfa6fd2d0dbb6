import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import {
  addressFromBytes,
  type Cidr,
  cidrContains,
  endpointText,
  type IpAddress,
  parseAddress,
  parseCidr,
  unmapped,
} from '../../src/core/address.js';

const FIXED = { seed: 20261122, numRuns: 500 };

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.error}`);
  return parsed.value;
}

const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zeros, where RFC 5952 has its choices.
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 })
    .map(values => Uint8Array.from(values)),
);
const anyBytes = fc.oneof(bytes4, bytes16);

const canonical = [
  ['1.2.3.4', '1.2.3.4'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['2001:DB8::A', '2001:db8::a'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['::ffff:1.2.3.4', '::ffff:102:304'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['::1.2.3.4', '::102:304'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
] as const;

test.each(canonical)('parseAddress reads %s as %s', (text, want) => {
  expect(address(text).text).toBe(want);
});

const refused = [
  ...[
    '',
    ' ',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '0x7f.0.0.1',
    '2130706433',
    '127.1',
    '1.2.3.4 ',
  ],
  ...[
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.4\0',
    '1..3.4',
    '.1.2.3.4',
    '1.2.3.4.',
    '+1.2.3.4',
    '１.2.3.4',
    '1.2.3.-4',
    '1e1.2.3.4',
  ],
  ...[
    ':',
    ':::',
    '1::2::3',
    '12345::',
    'g::',
    '::1 ',
    '[::1]',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1.2.3',
    '::01.2.3.4',
  ],
  ...[
    '::0x7f.0.0.1',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7::8:9',
    ':1',
    '1:',
    '::ffff:256.1.1.1',
    `${'0:'.repeat(30)}1`,
  ],
];

test.each(refused)('parseAddress refuses %j', text => {
  expect(parseAddress(text).ok).toBe(false);
});

test.each(['fe80::1%eth0', '::1%25lo', '1.2.3.4%1'])('parseAddress names the zone of %s', text => {
  expect(parseAddress(text)).toEqual({ ok: false, error: 'zone' });
});

test('parseAddress never throws, whatever the text', () => {
  const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdefx:.[]%/ ') }));
  fc.assert(
    fc.property(texts, text => {
      const parsed = parseAddress(text);
      if (parsed.ok) expect(address(parsed.value.text)).toEqual(parsed.value);
    }),
    { ...FIXED, numRuns: 3000 },
  );
});

test('parseAddress takes for IPv6 exactly what the platform does, zones left out', () => {
  const group = fc.oneof(
    fc.nat(0xffff).map(value => value.toString(16)),
    fc.constantFrom('', '0', '00000', 'g'),
  );
  const tail = fc.oneof(
    group,
    fc.tuple(fc.nat(260), fc.nat(260), fc.nat(260), fc.nat(260)).map(quad => quad.join('.')),
  );
  const texts = fc
    .tuple(fc.array(group, { maxLength: 8 }), tail)
    .map(([groups, last]) => [...groups, last].join(':'));
  fc.assert(
    fc.property(texts, text => {
      expect([text, parseAddress(text).ok]).toEqual([text, isIPv6(text) || isIPv4(text)]);
    }),
    { ...FIXED, numRuns: 5000 },
  );
});

test('an address is the same after its text is read again', () => {
  fc.assert(
    fc.property(anyBytes, bytes => {
      const made = addressFromBytes(bytes);
      expect(address(made.text)).toEqual(made);
    }),
    FIXED,
  );
});

test('every spelling of an IPv6 address has one canonical text', () => {
  fc.assert(
    fc.property(bytes16, fc.boolean(), (bytes, upper) => {
      const groups = Array.from({ length: 8 }, (_, i) =>
        (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16).padStart(4, '0'),
      );
      const long = groups.join(':');
      expect(address(upper ? long.toUpperCase() : long).text).toBe(addressFromBytes(bytes).text);
    }),
    FIXED,
  );
});

test('addressFromBytes throws for any other length', () => {
  expect(() => addressFromBytes(new Uint8Array(5))).toThrow(RangeError);
});

test.each([
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['10.0.0.1', '10.0.0.1/32'],
  ['::/0', '::/0'],
  ['2001:DB8::/32', '2001:db8::/32'],
  ['::1', '::1/128'],
])('parseCidr reads %s as %s', (text, want) => {
  expect(parseCidr(text)).toMatchObject({ ok: true, value: { text: want } });
});

test.each([
  ['10.0.0.1/8', 'host-bits-set'],
  ['2001:db8::1/32', 'host-bits-set'],
  ['10.0.0.0/33', 'not-a-block'],
  ['10.0.0.0/08', 'not-a-block'],
  ['10.0.0.0/', 'not-a-block'],
  ['10.0.0.0/-1', 'not-a-block'],
  ['10.0.0.0/8/8', 'not-a-block'],
  ['10.0.0.0/255.0.0.0', 'not-a-block'],
  ['10.0.0/8', 'not-a-block'],
  ['[::1]/128', 'not-a-block'],
  ['::/129', 'not-a-block'],
  ['/8', 'not-a-block'],
])('parseCidr refuses %s as %s', (text, error) => {
  expect(parseCidr(text)).toEqual({ ok: false, error });
});

function integer(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

test('cidrContains agrees with arithmetic on whole numbers', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, fc.nat(128), fc.nat(128), (base, other, wantedPrefix, flip) => {
      const width = base.length * 8;
      const prefix = wantedPrefix % (width + 1);
      const shift = BigInt(width - prefix);
      const masked = (integer(base) >> shift) << shift;
      const bytes = Uint8Array.from(base, (_, i) => Number((masked >> BigInt(width - 8 * (i + 1))) & 0xffn));
      const block: Cidr = { family: base.length === 4 ? 4 : 6, bytes, prefix, text: '' };
      // A neighbour of the base by one bit is likelier to be near the border than a random address.
      const near = base.map((byte, i) => (i === (flip % width) >> 3 ? byte ^ (0x80 >> (flip & 7)) : byte));
      for (const candidate of [other, near, base]) {
        const inside =
          candidate.length === base.length && integer(candidate) >> shift === integer(base) >> shift;
        expect(cidrContains(block, addressFromBytes(candidate))).toBe(inside);
      }
    }),
    FIXED,
  );
});

test.each([
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['1.2.3.4', '1.2.3.4'],
  ['::1.2.3.4', '::102:304'],
  ['::fffe:1.2.3.4', '::fffe:102:304'],
  ['1::ffff:1.2.3.4', '1::ffff:102:304'],
])('unmapped reads %s as %s', (text, want) => {
  expect(unmapped(address(text)).text).toBe(want);
});

test('endpointText puts IPv6 into brackets', () => {
  expect(endpointText({ address: address('1.2.3.4'), port: 80 })).toBe('1.2.3.4:80');
  expect(endpointText({ address: address('2001:db8::1'), port: 443 })).toBe('[2001:db8::1]:443');
});
