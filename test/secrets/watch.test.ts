import fc from 'fast-check';
import { Watch } from '../../src/secrets/watch.js';

const VALUE = 'sk-live+REAL/value=0123456789';
const watch = new Watch([
  { secret: 'a', kind: 'value', text: VALUE },
  { secret: 'a', kind: 'placeholder', text: 'GWPH_7f3a9c1e5b2d4f60a1b2c3d4e5f60718' },
]);
const always = (): boolean => true;

/** A value as somebody who wants it out would write it. */
const SPELLINGS: readonly ((text: string) => string)[] = [
  text => text,
  text => text.toUpperCase(),
  text => encodeURIComponent(text),
  text => Array.from(text, letter => `%${letter.charCodeAt(0).toString(16)}`).join(''),
  text => Array.from(text, letter => `&#${letter.charCodeAt(0)};`).join(''),
  text => Array.from(text, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  text => Buffer.from(text).toString('base64'),
  text => Buffer.from(text).toString('base64url'),
  text => Buffer.from(text).toString('hex'),
  text => Buffer.from(text).toString('base64').replace(/.{20}/g, '$&\r\n'),
  text => text.replace('live', 'li%76e'),
  text => text.replace('live', 'li&#118;e'),
];

test('mayHold never says no to text in which the value is found, in whatever spelling', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary-ascii', maxLength: 40 }),
      fc.constantFrom(...SPELLINGS),
      fc.string({ unit: 'binary-ascii', maxLength: 40 }),
      (before, spelled, after) => {
        const text = `${before}${spelled(VALUE)}${after}`;
        const found = watch.hits(Buffer.from(text, 'latin1'), always).length > 0;
        expect(watch.mayHold(text) || !found).toBe(true);
      },
    ),
    { seed: 20_264, numRuns: 2_000 },
  );
});

test.each(SPELLINGS.map(spelled => [spelled(VALUE)]))('mayHold says yes to %j', text => {
  expect(watch.mayHold(text)).toBe(true);
});

test.each(['', 'GET', '/v1/models?limit=20&after=x', 'application/json; charset=utf-8', 'Bearer abcdefgh'])(
  'mayHold says no to %j',
  text => {
    expect(watch.mayHold(text)).toBe(false);
  },
);

test('text of other characters than bytes is always looked at', () => {
  expect(watch.mayHold('a name with an é, long enough to hold something')).toBe(true);
});
