import fc from 'fast-check';
import type { HeaderList } from '../../../src/core/headers.js';
import { HpackDecoder } from '../../../src/proxy/http2/hpack-decoder.js';
import { emitFields } from '../../../src/proxy/http2/hpack-encoder.js';
import { STATIC_LENGTH, STATIC_TABLE } from '../../../src/proxy/http2/hpack-static.js';
import { decodeHuffman, HUFFMAN_CODES } from '../../../src/proxy/http2/huffman.js';
import { headerBlock, hpackInteger, hpackString, huffmanBytes } from '../../support/h2-frames.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const decoder = (): HpackDecoder => new HpackDecoder({ bytes: 65_536, fields: 200 });

test('the static table is the one of RFC 7541 appendix A', () => {
  expect(STATIC_LENGTH).toBe(61);
  expect(STATIC_TABLE[2]).toEqual([':method', 'GET']);
  expect(STATIC_TABLE[16]).toEqual(['accept-encoding', 'gzip, deflate']);
  expect(STATIC_TABLE[32]).toEqual(['cookie', '']);
  expect(STATIC_TABLE[61]).toEqual(['www-authenticate', '']);
});

test('the Huffman code is complete and ends with EOS of thirty ones', () => {
  expect(HUFFMAN_CODES.length).toBe(257);
  expect(HUFFMAN_CODES.reduce((sum, { length }) => sum + 2 ** -length, 0)).toBe(1);
  expect(HUFFMAN_CODES[256]).toEqual({ code: 0x3fffffff, length: 30 });
  expect(HUFFMAN_CODES[0x30]).toEqual({ code: 0, length: 5 });
  expect(HUFFMAN_CODES[0x5c]).toEqual({ code: 0x7fff0, length: 19 });
});

/** RFC 7541 appendix C.3 and C.4: three requests on one connection, plain and Huffman. */
const APPENDIX_C: { readonly name: string; readonly blocks: readonly string[] }[] = [
  {
    name: 'C.3',
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  },
  {
    name: 'C.4',
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  },
];

for (const { name, blocks } of APPENDIX_C) {
  test(`HpackDecoder reads the requests of RFC 7541 appendix ${name}`, () => {
    const hpack = decoder();
    const lists = blocks.map(block => {
      const list = hpack.decode(hex(block));
      return list.ok ? list.value.fields : list.error;
    });
    const common = (scheme: string, path: string): HeaderList => [
      [':method', 'GET'],
      [':scheme', scheme],
      [':path', path],
      [':authority', 'www.example.com'],
    ];
    expect(lists).toEqual([
      common('http', '/'),
      [...common('http', '/'), ['cache-control', 'no-cache']],
      [...common('https', '/index.html'), ['custom-key', 'custom-value']],
    ]);
  });
}

const faulty: { readonly name: string; readonly block: Buffer }[] = [
  { name: 'index 0', block: hex('80') },
  { name: 'an index beyond the tables', block: hex('be') },
  { name: 'an integer without an end', block: hex('ffffffffffffffffff') },
  { name: 'an integer cut short', block: hex('ff') },
  { name: 'a string longer than the block', block: hex('007f') },
  { name: 'a string cut short', block: hex('0005 6162') },
  { name: 'a literal without a value', block: hex('0001 61') },
  { name: 'padding of zeros', block: Buffer.concat([hex('00'), hex('8118'), hex('00')]) },
  { name: 'padding of eight bits', block: Buffer.concat([hex('00'), hex('8207ff'), hex('00')]) },
  { name: 'EOS in a string', block: hex('0084 ffffffff 00') },
  { name: 'a table larger than was allowed', block: hex('3fe21f') },
  { name: 'a change of the table behind a field', block: hex('8220') },
];

for (const { name, block } of faulty) {
  test(`HpackDecoder refuses ${name}`, () => {
    expect(decoder().decode(block)).toEqual({ ok: false, error: 'bad-block' });
  });
}

test('HpackDecoder forgets what no longer fits into the table', () => {
  const hpack = decoder();
  const big: HeaderList = [['a', 'x'.repeat(4000)]];
  expect(hpack.decode(headerBlock(big, { indexed: true })).ok).toBe(true);
  expect(hpack.decode(hpackInteger(0x80, 7, 62))).toMatchObject({ value: { fields: big } });
  expect(hpack.decode(headerBlock([['b', 'y'.repeat(100)]], { indexed: true })).ok).toBe(true);
  expect(hpack.decode(hpackInteger(0x80, 7, 62))).toMatchObject({
    value: { fields: [['b', 'y'.repeat(100)]] },
  });
  expect(hpack.decode(hpackInteger(0x80, 7, 63)).ok).toBe(false);
});

test('HpackDecoder empties the table when its size is set to nothing', () => {
  const hpack = decoder();
  expect(hpack.decode(headerBlock([['a', 'b']], { indexed: true })).ok).toBe(true);
  expect(hpack.decode(Buffer.concat([hex('20 3fe11f'), hpackInteger(0x80, 7, 62)])).ok).toBe(false);
});

test('HpackDecoder keeps nothing of a list that is too long, and reads the next', () => {
  const hpack = decoder();
  const entry = headerBlock([['x', 'a'.repeat(4000)]], { indexed: true });
  const bomb = Buffer.concat([entry, Buffer.alloc(8_000, 0xbe)]);
  expect(hpack.decode(bomb)).toEqual({ ok: true, value: { fields: [], tooLong: true } });
  expect(hpack.decode(hex('be'))).toMatchObject({ value: { tooLong: false } });
  const many = headerBlock(Array.from({ length: 201 }, () => ['a', ''] as const));
  expect(hpack.decode(many)).toMatchObject({ value: { tooLong: true } });
});

const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code)) });
const fields = fc.array(fc.tuple(text, text), { maxLength: 12 });

test('HpackDecoder reads back what was written, plain, indexed and Huffman', () => {
  fc.assert(
    fc.property(fc.array(fields, { maxLength: 5 }), fc.boolean(), fc.boolean(), (lists, indexed, huffman) => {
      const hpack = decoder();
      for (const list of lists) {
        const block = headerBlock(list, { indexed, huffman });
        expect(hpack.decode(block)).toEqual({ ok: true, value: { fields: list, tooLong: false } });
      }
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('HpackDecoder reads back what emitFields writes', () => {
  const known = fc
    .constantFrom(...STATIC_TABLE.slice(1))
    .map(([name, value]): [string, string] => [name, value]);
  const list = fc.array(fc.oneof(known, fc.tuple(text, text)), { maxLength: 20 });
  fc.assert(
    fc.property(list, written => {
      expect(decoder().decode(emitFields(written))).toMatchObject({ value: { fields: written } });
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('HpackDecoder and decodeHuffman never throw on noise', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), noise => {
      const bytes = Buffer.from(noise);
      decoder().decode(bytes);
      decodeHuffman(bytes, 0, bytes.length);
    }),
    { seed: 1, numRuns: 2000 },
  );
});

test('decodeHuffman reads strings longer than its buffer', () => {
  const long = 'aeiou'.repeat(4000);
  const bytes = huffmanBytes(long);
  expect(decodeHuffman(bytes, 0, bytes.length)).toBe(long);
  expect(hpackString('', true)).toEqual(Buffer.of(0x80));
});
