import fc from 'fast-check';
import { isRepeated } from '../../../src/core/headers.js';
import { FieldReader, readFields } from '../../../src/proxy/http1/fields.js';

const line = fc.constantFrom(
  'A: 1\r\n',
  'A: 2\r\n',
  'Host: a.test\r\n',
  'Connection: close\r\n',
  'Keep-Alive: 5\r\n',
  'bad line\r\n',
  'A: 1\n',
  'Content-Length: 3\r\n',
);
const section = fc.array(line, { maxLength: 3 }).map(lines => `${lines.join('')}\r\n`);
const start = fc.constantFrom('GET / HTTP/1.1\r\n', 'GET /a HTTP/1.1\r\nA: 1\r\n', '');

test('a FieldReader gives of each section what readFields gives', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(start, section), { maxLength: 12 }), heads => {
      const reader = new FieldReader(2);
      for (const [before, fields] of heads) {
        const text = before + fields;
        expect(reader.read(text, before.length)).toEqual(readFields(text, before.length, 2));
      }
    }),
    { seed: 31, numRuns: 500 },
  );
});

const read = (reader: FieldReader, text: string) => {
  const section = reader.read(text, 0);
  if (!section.ok) throw new Error(section.error);
  return section.value.endToEnd;
};

test('a FieldReader gives the same list for the same bytes, and says that it came again', () => {
  const reader = new FieldReader(10);
  const first = read(reader, 'A: 1\r\n\r\n');
  expect(isRepeated(first)).toBe(false);
  expect(read(reader, 'A: 1\r\n\r\n')).toBe(first);
  expect(isRepeated(first)).toBe(true);
  const other = read(reader, 'A: 2\r\n\r\n');
  expect(other).toEqual([['A', '2']]);
  expect(read(reader, 'A: 1\r\n\r\n')).not.toBe(first);
});

test('a FieldReader takes a section that ends like the last one for another', () => {
  const reader = new FieldReader(10);
  expect(read(reader, 'A: 1\r\n\r\n')).toEqual([['A', '1']]);
  expect(read(reader, 'BA: 1\r\n\r\n')).toEqual([['BA', '1']]);
  expect(read(reader, 'B: 2\r\nA: 1\r\n\r\n')).toHaveLength(2);
});

test('a FieldReader keeps no section beyond four thousand characters', () => {
  const reader = new FieldReader(10);
  const large = `A: ${'x'.repeat(5_000)}\r\n\r\n`;
  expect(read(reader, large)).not.toBe(read(reader, large));
});
