import fc from 'fast-check';
import { JsonPath } from '../../src/secrets/json-path.js';

const SEED = { seed: 20_269, numRuns: 300 };

/** Paths of all string values, in the order in which they are written. */
function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value === 'string') return [path];
  if (Array.isArray(value)) return value.flatMap(element => pathsOf(element, [...path, '[]']));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]));
}

/** Paths as the reader sees them at the first byte of each string value. */
function seenIn(text: string): (readonly string[])[] {
  const reader = new JsonPath();
  const seen: (readonly string[])[] = [];
  let inside = false;
  for (const byte of Buffer.from(text, 'utf8')) {
    reader.feed(Uint8Array.of(byte));
    const here = reader.here();
    if (here !== null && !inside) seen.push(here);
    inside = here !== null;
  }
  return seen;
}

const simpleKey = fc.string({
  unit: fc.constantFrom('a', 'b', 'Z', '_', '-', '1'),
  minLength: 1,
  maxLength: 4,
});
const json = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(simpleKey, tie('value'), { maxKeys: 3 }),
  ),
})).value;

test('the reader sees each string of a JSON text at the path that JSON.parse gives it', () => {
  fc.assert(
    fc.property(json, fc.constantFrom(undefined, 2), (value, indent) => {
      expect(seenIn(JSON.stringify(value, null, indent))).toEqual(pathsOf(JSON.parse(JSON.stringify(value))));
    }),
    SEED,
  );
});

test('the reader takes any bytes, however they are cut', () => {
  const texts = fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'a', '1'), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(texts, fc.nat(60), (parts, cut) => {
      const bytes = Buffer.from(parts.join(''));
      const whole = new JsonPath();
      whole.feed(bytes);
      const halves = new JsonPath();
      halves.feed(bytes.subarray(0, cut));
      halves.feed(bytes.subarray(cut));
      expect(halves.here()).toEqual(whole.here());
    }),
    SEED,
  );
});

test('a text nested beyond reason has no paths', () => {
  const reader = new JsonPath();
  reader.feed(Buffer.from(`${'{"a":'.repeat(10_000)}"x`));
  expect(reader.here()).toBeNull();
});
