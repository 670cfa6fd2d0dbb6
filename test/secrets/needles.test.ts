import fc from 'fast-check';
import { needlesOf, SHORTEST_SOUGHT } from '../../src/secrets/needles.js';
import { Watch } from '../../src/secrets/watch.js';

const SEED = { seed: 20_265, numRuns: 200 };
const bytes = fc.uint8Array({ maxLength: 12 });
const values = fc.string({ minLength: SHORTEST_SOUGHT, maxLength: 40, unit: 'grapheme-ascii' });

function base32(input: Uint8Array): string {
  const bits = [...input].map(byte => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? [])
    .map(five => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five.padEnd(5, '0'), 2)])
    .join('');
}

const codings: readonly (readonly [string, (input: Buffer) => string])[] = [
  ['base64', input => input.toString('base64')],
  ['base64url', input => input.toString('base64url')],
  ['base64 in lines of 76', input => (input.toString('base64').match(/.{1,76}/g) ?? []).join('\r\n')],
  ['base64 of base64', input => Buffer.from(input.toString('base64')).toString('base64')],
  ['base32', input => base32(input)],
  ['hex', input => input.toString('hex')],
  ['upper hex', input => input.toString('hex').toUpperCase()],
  ['percent', input => [...input].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')],
  ['double percent', input => [...input].map(byte => `%25${byte.toString(16).padStart(2, '0')}`).join('')],
  ['JSON', input => [...input].map(byte => `\\u00${byte.toString(16).padStart(2, '0')}`).join('')],
  ['references', input => [...input].map(byte => `&#${byte};`).join('')],
  ['percent of base64', input => encodeURIComponent(input.toString('base64'))],
  ['reversed', input => Buffer.from([...input].reverse()).toString('latin1')],
];

for (const [name, encode] of codings) {
  test(`a value is found in the ${name} of any bytes around it`, () => {
    fc.assert(
      fc.property(bytes, values, bytes, (before, value, after) => {
        const watch = new Watch([{ secret: 'S', kind: 'value', text: value }]);
        const whole = Buffer.concat([before, Buffer.from(value), after]);
        const text = Buffer.from(encode(whole), 'latin1');
        // A blank before or behind may be eaten by what stands beside it only where the coding says so.
        expect(watch.hits(text, () => true).length).toBeGreaterThan(0);
      }),
      SEED,
    );
  });
}

test('a value with characters beyond ASCII is found in JSON escapes and as it is', () => {
  const watch = new Watch([{ secret: 'S', kind: 'value', text: 'pässwörd-€-1' }]);
  for (const text of ['p\\u00e4ssw\\u00f6rd-\\u20ac-1', 'pässwörd-€-1', 'p&#228;ssw&#xf6;rd-&#8364;-1']) {
    expect(watch.hits(Buffer.from(text, 'utf8'), () => true)).not.toHaveLength(0);
  }
});

test('a value that is found everywhere by chance is not looked for', () => {
  expect(needlesOf('1234567')).toEqual([]);
  expect(new Watch([{ secret: 'S', kind: 'value', text: '1234567' }]).empty).toBe(true);
});
