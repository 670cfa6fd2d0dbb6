import fc from 'fast-check';
import { RawCursor, unescapeBytes } from '../../src/secrets/unescape.js';

const SEED = { seed: 20_263, numRuns: 400 };

interface Case {
  readonly raw: string;
  readonly want: string;
  /** What the end cuts short. */
  readonly rest?: string;
}

const cases: Case[] = [
  { raw: 'plain', want: 'plain' },
  { raw: 'a%41%2fb', want: 'aA/b' },
  { raw: '100%zz%4', want: '100%zz', rest: '%4' },
  { raw: '\\u0047\\x48\\/\\"\\\\', want: 'GH/"\\' },
  { raw: '\\u00', want: '', rest: '\\u00' },
  { raw: 'a\\', want: 'a', rest: '\\' },
  { raw: '\\q', want: '\\q' },
  { raw: '&#71;&#x47;&#X47;&amp;&quot;', want: 'GGG&"' },
  { raw: 'a=1&b=2&c', want: 'a=1&b=2', rest: '&c' },
  { raw: '&#99999999;x', want: '&#99999999;x' },
  { raw: 'R1dQ\r\nSF83\nx', want: 'R1dQSF83x' },
  { raw: 'data: x\n\nnext', want: 'data: x\nnext' },
  { raw: 'end\n', want: 'end', rest: '\n' },
  { raw: 'R1dQ\\nSF83', want: 'R1dQSF83' },
];

for (const { raw, want, rest = '' } of cases) {
  test(`unescapeBytes reads ${JSON.stringify(raw)}`, () => {
    const got = unescapeBytes(Buffer.from(raw, 'latin1'));
    expect(Buffer.from(got.bytes).toString('latin1')).toBe(want);
    expect(raw.slice(got.rest)).toBe(rest);
    expect(got.changed).toBe(want !== raw.slice(0, got.rest));
  });
}

const spelled = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '%41',
        '%',
        '\\u0047',
        '\\',
        '\\"',
        '&#71;',
        '&',
        '&amp;',
        '\r\n',
        '\n',
        '%2',
        '\\u00e9',
        '&#8364;',
        ';',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 30 },
  )
  .map(parts => Buffer.from(parts.join(''), 'utf8'));

test('unescapeBytes never throws and never grows', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), spelled), raw => {
      const { bytes, rest, changed } = unescapeBytes(raw);
      expect(bytes.length).toBeLessThanOrEqual(rest);
      if (!changed) expect(bytes).toEqual(raw.subarray(0, rest));
    }),
    SEED,
  );
});

test('RawCursor maps every unescaped byte to raw bytes that spell it, in any order of asking', () => {
  fc.assert(
    fc.property(spelled, fc.boolean(), (raw, rising) => {
      const { bytes, rest } = unescapeBytes(raw);
      const cursor = new RawCursor(raw);
      const indexes = [...bytes.keys()];
      let lastStart = -1;
      for (const index of rising ? indexes : indexes.reverse()) {
        const { start, end } = cursor.span(index);
        expect(end).toBeLessThanOrEqual(rest);
        expect(start).toBeLessThan(end);
        if (end - start === 1) expect(raw[start]).toBe(bytes[index]);
        if (rising) expect(start).toBeGreaterThanOrEqual(lastStart);
        lastStart = start;
      }
      expect(cursor.span(bytes.length).start).toBeGreaterThanOrEqual(rest);
    }),
    SEED,
  );
});
