import fc from 'fast-check';
import { type Look, look, lookAt } from '../../src/secrets/look.js';
import { Matcher } from '../../src/secrets/matcher.js';
import { needlesOf } from '../../src/secrets/needles.js';

const SEED = { seed: 20_267, numRuns: 2_000 };
const VALUES = ['s3cr3t-v@lue of "mine"', 'tok_%41bcdefgh;&', 'päßwört-12345678'];
const matcher = new Matcher(VALUES.flatMap(value => needlesOf(value).map(({ bytes }) => bytes)));
const always = (): boolean => true;

const spelled = (value: string): string[] => [
  value,
  encodeURIComponent(value),
  encodeURIComponent(encodeURIComponent(value)),
  JSON.stringify(value).slice(1, -1),
  JSON.stringify(JSON.stringify(value)).slice(1, -1),
  Array.from(value, character => `&#${character.codePointAt(0)};`).join(''),
  Array.from(value, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  Array.from(value, character => `\\u{${character.codePointAt(0)?.toString(16)}}`).join(''),
  Array.from(value, character => `%u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  Buffer.from(value).toString('base64'),
  Buffer.from(`x${value}`)
    .toString('base64')
    .replace(/(.{18})/g, '$1\r\n'),
  Buffer.from(value).toString('hex'),
];
const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...VALUES.flatMap(spelled)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('%', '\\', '&', '&#', '%4', '\\u00', '\r', '\n', '\r\n', '"', ' ', '\0'),
  },
  { weight: 1, arbitrary: fc.constantFrom('A'.repeat(20), 'word', '{"key": "', '", ') },
  { weight: 1, arbitrary: fc.string({ maxLength: 12, unit: 'binary' }) },
);
const message = fc.array(piece, { maxLength: 8 }).map(pieces => Buffer.from(pieces.join(''), 'utf8'));

/** A plain needle beside an escape is found again in the escape's neighbourhood. */
function placesOf({ hits }: Look): readonly string[] {
  return [...new Set(hits.map(({ needle, start, end }) => `${needle} ${start}-${end}`))];
}

test('look finds in the runs what stands anywhere', () => {
  fc.assert(
    fc.property(message, fc.nat(40), fc.nat(40), (bytes, cutLeft, cutRight) => {
      const part = bytes.subarray(cutLeft, Math.max(cutLeft, bytes.length - cutRight));
      expect(placesOf(look(matcher, part, always, true))).toEqual(
        placesOf(lookAt(matcher, part, always, true)),
      );
    }),
    SEED,
  );
});

test('look finds the same where more may follow', () => {
  fc.assert(
    fc.property(message, fc.nat(60), (bytes, cut) => {
      const part = bytes.subarray(0, Math.max(0, bytes.length - cut));
      expect(placesOf(look(matcher, part, always, false))).toEqual(
        placesOf(lookAt(matcher, part, always, false)),
      );
    }),
    SEED,
  );
});

test('what no needle and no escape is made of is passed over, up to the run that may go on', () => {
  const noise = Buffer.from('{"id": 7, "name": [some, words]},'.repeat(200));
  expect(matcher.runs.find(noise, true)).toEqual([]);
  expect(look(matcher, noise, always, false)).toEqual({ hits: [], keep: noise.length, hold: noise.length });
  const open = Buffer.concat([noise, Buffer.from('s3cr3t')]);
  expect(look(matcher, open, always, false)).toMatchObject({ hits: [], hold: noise.length });
});
