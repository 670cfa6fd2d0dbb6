import fc from 'fast-check';
import { encodePlain, type PlainRecord } from '../../src/events/plain.js';

const PRINTABLE_LINE = /^[\x20-\x7e]+\n$/;

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
    .map(units => String.fromCharCode(...units)),
);
const { value } = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.stringMatching(/^[a-z_]{1,12}$/), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

test('encodePlain writes one printable line that reads back as what JSON.stringify writes', () => {
  fc.assert(
    fc.property(value, any => {
      const record = { any } as PlainRecord;
      const line = encodePlain(record);
      expect(line).toMatch(PRINTABLE_LINE);
      expect(JSON.parse(line)).toEqual(JSON.parse(JSON.stringify(record)));
    }),
    { seed: 20_261_127, numRuns: 1_000 },
  );
});

test('encodePlain has room for a list of many numbers and for deep nesting', () => {
  const numbers = Array.from({ length: 20_000 }, (_, at) => at * 1_000_003);
  let deep: PlainRecord = {};
  for (let i = 0; i < 1_100; i++) deep = { in: [deep] };
  expect(JSON.parse(encodePlain({ numbers }))).toEqual({ numbers });
  expect(JSON.stringify(JSON.parse(encodePlain(deep)))).toBe(JSON.stringify(deep));
});
