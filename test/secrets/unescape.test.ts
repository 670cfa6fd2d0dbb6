import fc from 'fast-check';
import { RawCursor, unescapeBytes } from '../../src/secrets/unescape.js';

const SEED = { seed: 20_263, numRuns: 400 };

/** Long enough to be a line of base64. */
const LINE = 'R1dQSF83ZjNhOWMxZTVi';

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
  { raw: `${LINE}\r\nSF83`, want: `${LINE}SF83` },
  { raw: `${LINE}\nSF83\nx`, want: `${LINE}SF83\nx` },
  { raw: `${LINE}\n\nSF83`, want: `${LINE}\n\nSF83` },
  { raw: `data: ${LINE.slice(0, 10)}\nnext`, want: `data: ${LINE.slice(0, 10)}\nnext` },
  { raw: `${LINE}\r\n`, want: LINE, rest: '\r\n' },
  { raw: 'end\n', want: 'end\n' },
  { raw: 'R1dQ\\nSF83', want: 'R1dQSF83' },
];

for (const { raw, want, rest = '' } of cases) {
  test(`unescapeBytes reads ${JSON.stringify(raw)}`, () => {
    const got = unescapeBytes(Buffer.from(raw, 'latin1'), 100);
    const text = got === null ? raw : Buffer.from(got.bytes).toString('latin1');
    expect(text).toBe(want);
    expect(raw.slice(got?.rest ?? raw.length)).toBe(rest);
    expect(got === null).toBe(want === raw);
  });
}

const escapes = [
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
  LINE,
];
const spelled = fc
  .array(fc.oneof(fc.constantFrom(...escapes), fc.string({ maxLength: 4 })), { maxLength: 30 })
  .map(parts => Buffer.from(parts.join(''), 'utf8'));
const reaches = fc.integer({ min: 0, max: 40 });

test('unescapeBytes never throws and never grows', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), spelled), reaches, (raw, reach) => {
      const got = unescapeBytes(raw, reach);
      expect(got?.bytes.length ?? 0).toBeLessThanOrEqual(raw.length + 1);
      expect(got?.rest ?? 0).toBeLessThanOrEqual(raw.length);
    }),
    SEED,
  );
});

test('a short reach gives pieces of what the longest reach gives', () => {
  fc.assert(
    fc.property(spelled, reaches, (raw, reach) => {
      const near = unescapeBytes(raw, reach);
      const all = unescapeBytes(raw, raw.length);
      if (near === null || all === null) return expect(near).toEqual(all);
      expect(near.rest).toBe(all.rest);
      const whole = Buffer.from(all.bytes).toString('latin1');
      const ends = [...near.windows.slice(1).map(({ out }) => out - 1), near.bytes.length];
      let from = 0;
      near.windows.forEach(({ out }, index) => {
        const piece = Buffer.from(near.bytes.subarray(out, ends[index])).toString('latin1');
        const at = whole.indexOf(piece, from);
        expect(at).toBeGreaterThanOrEqual(0);
        from = at + piece.length;
      });
    }),
    SEED,
  );
});

test('RawCursor maps every unescaped byte to raw bytes that spell it, in any order of asking', () => {
  fc.assert(
    fc.property(spelled, reaches, fc.boolean(), (raw, reach, rising) => {
      const got = unescapeBytes(raw, reach);
      if (got === null) return;
      const cursor = new RawCursor(raw, got.windows);
      const borders = new Set(got.windows.slice(1).map(({ out }) => out - 1));
      const indexes = [...got.bytes.keys()].filter(index => !borders.has(index));
      let lastStart = -1;
      for (const index of rising ? indexes : indexes.reverse()) {
        const { start, end } = cursor.span(index);
        expect(end).toBeLessThanOrEqual(got.rest);
        expect(start).toBeLessThan(end);
        if (end - start === 1) expect(raw[start]).toBe(got.bytes[index]);
        if (rising) expect(start).toBeGreaterThanOrEqual(lastStart);
        lastStart = start;
      }
    }),
    SEED,
  );
});
