import fc from 'fast-check';
import { AsciiWriter, piece } from '../../src/events/ascii.js';

const SEED = { seed: 20_261_127, numRuns: 500 };
const printable = fc.stringMatching(/^[\x20-\x7e]{0,200}$/);
const plain = fc.stringMatching(/^[\x20\x21\x23-\x5b\x5d-\x7e]{0,300}$/);

test('AsciiWriter puts pieces of any length, one behind the other, over what stood there before', () => {
  const w = new AsciiWriter();
  fc.assert(
    fc.property(fc.array(fc.tuple(printable, plain), { minLength: 1, maxLength: 20 }), parts => {
      w.reset();
      for (const [words, text] of parts) {
        w.put(piece(words));
        expect(w.plain(text)).toBe(true);
      }
      expect(w.text()).toBe(parts.map(([words, text]) => `${words}"${text}"`).join(''));
    }),
    SEED,
  );
});

test('AsciiWriter grows under a text that is longer than what it has, and keeps what it wrote', () => {
  const w = new AsciiWriter();
  w.put(piece('{"begin":'));
  expect(w.plain('a'.repeat(300_000))).toBe(true);
  w.put(piece(',"end":1}'));
  expect(JSON.parse(w.text())).toEqual({ begin: 'a'.repeat(300_000), end: 1 });
});

test('AsciiWriter writes nothing of a text with a single code unit that JSON or a terminal would not leave alone', () => {
  const w = new AsciiWriter();
  w.put(piece('before'));
  for (let code = 0; code <= 0xffff; code++) {
    const unit = String.fromCharCode(code);
    const kept = /^[\x20\x21\x23-\x5b\x5d-\x7e]$/.test(unit);
    w.reset();
    w.put(piece('before'));
    if (w.plain(`ab${unit}`) !== kept || w.text() !== (kept ? `before"ab${unit}"` : 'before')) {
      throw new Error(`U+${code.toString(16)} is taken as ${kept ? 'special' : 'plain'}`);
    }
  }
});
