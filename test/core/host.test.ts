import fc from 'fast-check';
import { hostText, parseHost, parseHostname } from '../../src/core/host.js';

const FIXED = { seed: 20261122, numRuns: 3000 };
const LABEL_63 = 'a'.repeat(63);
const NAME_253 = `${`${'a'.repeat(49)}.`.repeat(5)}abc`;

test.each([
  ['example.com', 'example.com'],
  ['EXAMPLE.Com', 'example.com'],
  ['example.com.', 'example.com'],
  ['_acme-challenge.example.com', '_acme-challenge.example.com'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['-a.example.com', '-a.example.com'],
  ['a-.example.com', 'a-.example.com'],
  // Not what it shows as: `domainToUnicode` makes example.com of it.
  ['xn--example-.com', 'xn--example-.com'],
  ['1.2.3.4.in-addr.arpa', '1.2.3.4.in-addr.arpa'],
  ['localhost', 'localhost'],
  ['__proto__', '__proto__'],
  ['0x7f.example', '0x7f.example'],
  [`${LABEL_63}.com`, `${LABEL_63}.com`],
  [NAME_253, NAME_253],
  [`${NAME_253}.`, NAME_253],
])('parseHostname reads %s', (text, want) => {
  expect(parseHostname(text)).toEqual({ ok: true, value: want });
});

test.each([
  ['', 'empty'],
  ['.', 'empty'],
  ['..', 'bad-label'],
  ['example.com..', 'bad-label'],
  ['.example.com', 'bad-label'],
  ['a..b', 'bad-label'],
  [`a${LABEL_63}.com`, 'bad-label'],
  [`a${NAME_253}`, 'too-long'],
  ['a'.repeat(70_000), 'too-long'],
  ['faceboo\u212a.com', 'bad-character'],
  ['b\u00fccher.example', 'bad-character'],
  ['example\u3002com', 'bad-character'],
  ['a\0.com', 'bad-character'],
  ['a%2ecom', 'bad-character'],
  ['a.com\r\n', 'bad-character'],
  ['a b.com', 'bad-character'],
  ['a/b', 'bad-character'],
  ['*.com', 'bad-character'],
  ['1.2.3.4', 'ambiguous-address'],
  ['1.2.3.4.', 'ambiguous-address'],
  ['2130706433', 'ambiguous-address'],
  ['0x7f', 'ambiguous-address'],
  ['0X7F.1', 'ambiguous-address'],
  ['example.0x', 'ambiguous-address'],
  ['example.09', 'ambiguous-address'],
])('parseHostname refuses %j as %s', (text, error) => {
  expect(parseHostname(text)).toEqual({ ok: false, error });
});

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['[::1]', '::1'],
  ['[2001:DB8::1]', '2001:db8::1'],
  ['example.com', 'example.com'],
])('parseHost reads %s as %s', (text, want) => {
  const host = parseHost(text);
  expect(host.ok && hostText(host.value)).toBe(want);
});

test.each([
  ['::1', 'bad-character'],
  ['[::1', 'bad-character'],
  ['[1.2.3.4]', 'bad-character'],
  ['[example.com]', 'bad-character'],
  ['[]', 'bad-character'],
  ['[::1].com', 'bad-character'],
  ['[::1%25lo]', 'zone'],
  ['010.0.0.1', 'ambiguous-address'],
])('parseHost refuses %s as %s', (text, error) => {
  expect(parseHost(text)).toEqual({ ok: false, error });
});

test('a host is the same after its text is read again, and no text makes parseHost throw', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(...'aAzZ09-_.xX:[]%\0\u212a ') }),
    fc.domain(),
  );
  fc.assert(
    fc.property(texts, text => {
      const host = parseHost(text);
      if (!host.ok) return;
      const shown = hostText(host.value);
      expect(shown).toMatch(/^[a-z0-9._:-]+$/);
      expect(parseHost(shown.includes(':') ? `[${shown}]` : shown)).toEqual(host);
    }),
    FIXED,
  );
});
