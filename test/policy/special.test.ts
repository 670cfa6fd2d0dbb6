import fc from 'fast-check';
import { addressFromBytes, type IpAddress, parseAddress, parseCidr } from '../../src/core/address.js';
import type { Hostname } from '../../src/core/host.js';
import { classifyAddress, isPrivateBlock } from '../../src/policy/special.js';
import { classifyName } from '../../src/policy/special-names.js';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.error}`);
  return parsed.value;
}

test.each([
  ['8.8.8.8', 'global'],
  ['2606:4700::1', 'global'],
  ['::ffff:8.8.8.8', 'global'],
  ['2600:1f18::5efe:a9fe:a9fe', 'global'],
  ['10.1.2.3', 'private'],
  ['100.64.0.1', 'private'],
  ['fd12::1', 'private'],
  ['::ffff:192.168.0.1', 'private'],
  ['192.0.2.1', 'special'],
  ['0.1.2.3', 'special'],
  ['240.0.0.1', 'special'],
  ['fe80::1', 'special'],
  ['64:ff9b::808:808', 'special'],
  ['2002:808:808::', 'special'],
  ['2002:a00:1::', 'special'],
  ['4000::', 'special'],
  ['127.0.0.1', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['::', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.1.2.3', 'loopback'],
  ['::127.0.0.1', 'loopback'],
  ['64:ff9b::7f00:1', 'loopback'],
  ['2002:7f00:1::', 'loopback'],
  ['169.254.169.254', 'metadata'],
  ['168.63.129.16', 'metadata'],
  ['100.100.100.200', 'metadata'],
  ['192.0.0.192', 'metadata'],
  ['fd00:ec2::254', 'metadata'],
  ['fd20:ce::254', 'metadata'],
  ['::ffff:169.254.169.254', 'metadata'],
  ['64:ff9b::a9fe:a9fe', 'metadata'],
  ['64:ff9b:1:a9fe:a9:fe00::', 'metadata'],
  ['2002:a9fe:a9fe::1', 'metadata'],
  ['2001:0:4136:e378:8000:63bf:5601:5601', 'metadata'],
  ['2001:0:a9fe:a9fe::1', 'metadata'],
  ['fe80::5efe:a9fe:a9fe', 'metadata'],
  ['fe80::a9fe:a9fe', 'metadata'],
])('classifyAddress says that %s is %s', (text, kind) => {
  expect(classifyAddress(address(text)).kind).toBe(kind);
});

const V4_BLOCKS = [
  ...[
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
  ],
  ...[
    '192.0.2.0/24',
    '192.88.99.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
  ],
  ...['224.0.0.0/4', '240.0.0.0/4', '168.63.129.16/32'],
];

function integer(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** The rule of the registries as arithmetic: what the tables must come to. */
function isGlobal({ family, bytes }: IpAddress): boolean {
  const value = integer(bytes);
  const inside = (block: string, width: number): boolean => {
    const [text = '', prefix = ''] = block.split('/');
    const shift = BigInt(width - Number(prefix));
    return value >> shift === integer(address(text).bytes) >> shift;
  };
  if (family === 4) return !V4_BLOCKS.some(block => inside(block, 32));
  if (value >> 32n === 0xffffn) return isGlobal(addressFromBytes(bytes.slice(12)));
  return (
    inside('2000::/3', 128) &&
    !['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'].some(block => inside(block, 128))
  );
}

test('classifyAddress agrees with the registries as arithmetic, near every border too', () => {
  const borders = [
    ...V4_BLOCKS,
    '2000::/3',
    '2001::/23',
    '2001:db8::/32',
    '2002::/16',
    '3fff::/20',
    '::ffff:0:0/96',
  ];
  const nearBorder = fc
    .tuple(fc.constantFrom(...borders), fc.boolean(), fc.integer({ min: -3, max: 3 }))
    .map(([block, end, by]) => {
      const [text = '', prefix = ''] = block.split('/');
      const { bytes } = address(text);
      const width = bytes.length * 8;
      const size = 1n << BigInt(width - Number(prefix));
      const value = BigInt.asUintN(width, integer(bytes) + (end ? size : 0n) + BigInt(by));
      return Uint8Array.from(bytes, (_, i) => Number((value >> BigInt(width - 8 * (i + 1))) & 0xffn));
    });
  const anyBytes = fc.oneof(
    nearBorder,
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  fc.assert(
    fc.property(anyBytes, bytes => {
      const made = addressFromBytes(bytes);
      expect([made.text, classifyAddress(made).kind === 'global']).toEqual([made.text, isGlobal(made)]);
    }),
    { seed: 20261122, numRuns: 5000 },
  );
});

test.each([
  ['10.0.0.0/8', true],
  ['10.1.0.0/16', true],
  ['192.168.1.5/32', true],
  ['fd00::/8', true],
  ['0.0.0.0/0', false],
  ['8.0.0.0/5', false],
  ['192.0.2.0/24', false],
  ['127.0.0.0/8', false],
  ['::/0', false],
])('isPrivateBlock says of %s: %s', (text, want) => {
  const block = parseCidr(text);
  expect(block.ok && isPrivateBlock(block.value)).toBe(want);
});

test.each([
  ['example.com', 'ordinary'],
  ['localhost.example.com', 'ordinary'],
  ['metadata.example.com', 'ordinary'],
  ['internal.example.com', 'ordinary'],
  ['localhost', 'local'],
  ['a.localhost', 'local'],
  ['wpad', 'local'],
  ['db.corp.internal', 'local'],
  ['kubernetes.default.svc', 'local'],
  ['printer.local', 'local'],
  ['router.home.arpa', 'local'],
  ['x.onion', 'local'],
  ['metadata.google.internal', 'metadata'],
  ['instance-data', 'metadata'],
])('classifyName says that %s is %s', (name, kind) => {
  expect(classifyName(name as Hostname)).toBe(kind);
});
