import fc from 'fast-check';
import {
  redactAll,
  redactFields,
  redactorFor,
  redactText,
  redactWhole,
  redactWire,
} from '../../src/secrets/redact.js';
import { A, B, corpusSecrets } from './fixtures.js';

const SEED = { seed: 20_267, numRuns: 300 };
const secrets = corpusSecrets();

function redact(content: Uint8Array, cuts: readonly number[], names: readonly string[] = ['A', 'B']): string {
  const redactor = redactorFor(secrets, names);
  if (redactor === null) throw new Error('nothing to redact');
  const ends = [...new Set(cuts.map(cut => cut % (content.length + 1)))].sort((a, b) => a - b);
  const out: Uint8Array[] = [];
  let from = 0;
  for (const end of [...ends, content.length]) {
    out.push(Buffer.from(redactor.push(Uint8Array.prototype.slice.call(content, from, end))));
    from = end;
  }
  return Buffer.concat([...out, redactor.end()]).toString('latin1');
}

const wire = (text: string): Buffer => Buffer.from(text, 'latin1');

const echoes: readonly (readonly [string, string, string])[] = [
  ['as it is', `<pre>${A.value}</pre>`, `<pre>${A.placeholder}</pre>`],
  ['percent-encoded', `?k=${encodeURIComponent(A.value)}&x`, `?k=${A.placeholder}&x`],
  ['in JSON', `{"v":${JSON.stringify(B.value)}}`, `{"v":"${B.placeholder}"}`],
  [
    'in JSON escapes',
    `{"h":"${[...A.value].map(c => `\\u00${c.charCodeAt(0).toString(16)}`).join('')}"}`,
    `{"h":"${A.placeholder}"}`,
  ],
  ['in references', 'sk-live&#43;REAL/value&#61;0123456789', A.placeholder],
  ['between binary bytes', `\0\x01${A.value}\xff`, `\0\x01${A.placeholder}\xff`],
  ['twice', `${A.value}${A.value}`, `${A.placeholder}${A.placeholder}`],
  ['as an event', `data: ${A.value}\n\n`, `data: ${A.placeholder}\n\n`],
];

for (const [name, echo, want] of echoes) {
  test(`a value ${name} becomes its placeholder, whole and byte by byte`, () => {
    expect(redact(wire(echo), [])).toBe(want);
    const cut = redact(wire(echo), [...wire(echo).keys()]);
    // Byte by byte, up to three characters pass before the rest is known.
    expect(
      cut.replaceAll(/(?:sk-|sk|s|tok|to|t)(?=GWPH_)/g, '').replaceAll(/(?:\\u00..|%..){1,3}(?=GWPH_)/g, ''),
    ).toBe(want);
  });
}

for (const before of ['', 'x', 'xy']) {
  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    test(`${encoding} of a value behind '${before}' still decodes, to something without the value`, () => {
      const got = redact(wire(Buffer.from(`${before}${A.value}!tail`).toString(encoding)), []);
      const decoded = Buffer.from(got, encoding).toString('latin1');
      expect(decoded).toHaveLength(before.length + A.value.length + 5);
      // A digit that the value shared with its neighbour stays: four bits at most.
      expect(decoded).toContain('WPH_7f3a');
      expect(decoded).not.toContain('live');
      expect(decoded.startsWith(before) && decoded.endsWith('!tail')).toBe(true);
    });
  }
}

test('what holds no value comes back byte for byte, however it was cut', () => {
  const near = fc.constantFrom(
    'sk-live',
    A.value.slice(0, -1),
    A.value.slice(1),
    A.placeholder,
    '%',
    '\\u00',
    '\r\n',
    '&#',
    'tok"q',
  );
  const contents = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .array(fc.oneof(near, fc.string({ maxLength: 5 })), { maxLength: 12 })
      .map(parts => Buffer.from(parts.join('|'))),
  );
  fc.assert(
    fc.property(contents, fc.array(fc.nat(400), { maxLength: 12 }), (content, cuts) => {
      expect(redact(content, cuts)).toBe(Buffer.from(content).toString('latin1'));
    }),
    SEED,
  );
});

test('no cut lets a value through', () => {
  const parts = fc.constantFrom(
    A.value,
    B.value,
    JSON.stringify(B.value),
    encodeURIComponent(A.value),
    'sk-',
    '%',
    '\n',
  );
  const contents = fc
    .array(fc.oneof(parts, fc.string({ maxLength: 5 })), { maxLength: 8 })
    .map(list => Buffer.from(list.join(''), 'utf8'));
  fc.assert(
    fc.property(contents, fc.array(fc.nat(400), { maxLength: 12 }), (content, cuts) => {
      const got = redact(content, cuts);
      for (const { value } of [A, B]) {
        expect(got).not.toContain(value);
        expect(got).not.toContain(encodeURIComponent(value));
        expect(got).not.toContain(JSON.stringify(value).slice(1, -1));
      }
    }),
    SEED,
  );
});

test('only the secrets that a flow carried are redacted: elsewhere that would confirm a guess', () => {
  expect(redact(wire(A.value), [], ['B'])).toBe(A.value);
  expect(redactorFor(secrets, [])).toBeNull();
});

test('fields are redacted in name and value, and the list itself comes back where nothing stood', () => {
  const fields = [['ETag', '"x"']] as const;
  expect(redactFields(secrets, ['A'], fields)).toBe(fields);
  expect(redactFields(secrets, ['A'], [['Location', `https://x/?k=${encodeURIComponent(A.value)}`]])).toEqual(
    [['Location', `https://x/?k=${A.placeholder}`]],
  );
  expect(redactFields(secrets, ['A'], [[`X-${A.value}`, '1']])).toEqual([[`X-${A.placeholder}`, '1']]);
});

test('texts are redacted and otherwise the same', () => {
  expect(redactAll(secrets, `${B.value} failed: ${A.value} – é`)).toBe(
    `${B.placeholder} failed: ${A.placeholder} – é`,
  );
  expect(redactAll(secrets, 'short')).toBe('short');
  expect(redactText(secrets, ['A'], `failed: ${A.value} – é`)).toBe(`failed: ${A.placeholder} – é`);
  expect(redactWire(secrets, ['A'], `caf\xe9 ${A.value}`)).toBe(`caf\xe9 ${A.placeholder}`);
  const bytes = wire('nothing here');
  expect(redactWhole(secrets, ['A'], bytes)).toBe(bytes);
});
