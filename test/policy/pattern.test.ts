import fc from 'fast-check';
import { hostText, parseHost } from '../../src/core/host.js';
import { createNameIndex } from '../../src/policy/name-index.js';
import {
  type HostPattern,
  matchesHost,
  parseHostPattern,
  parseHostPort,
  patternText,
} from '../../src/policy/pattern.js';

const FIXED = { seed: 20261122, numRuns: 2000 };

test.each([
  ['example.com', 'example.com'],
  ['EXAMPLE.com.', 'example.com'],
  ['*.Example.com', '*.example.com'],
  ['*', '*'],
  ['1.2.3.4', '1.2.3.4'],
  ['2001:DB8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['b\u00fccher.example', 'xn--bcher-kva.example'],
  ['BU\u0308CHER.example', 'xn--bcher-kva.example'],
  ['*.b\u00fccher.example', '*.xn--bcher-kva.example'],
  ['fa\u00df.de', 'xn--fa-hia.de'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['_dmarc.example.com', '_dmarc.example.com'],
])('parseHostPattern reads %s as %s', (text, want) => {
  const pattern = parseHostPattern(text);
  expect(pattern.ok && patternText(pattern.value)).toBe(want);
});

test.each([
  ['', `'' is not a host pattern`],
  [' ', `' ' is not a host pattern`],
  ['*example.com', `did you mean '*.example.com'?`],
  ['.example.com', `did you mean '*.example.com'?`],
  ['**.example.com', `did you mean '*.example.com'?`],
  [' example.com ', `did you mean 'example.com'?`],
  ['https://example.com/x?y', `did you mean 'example.com'?`],
  ['user@example.com', `did you mean 'example.com'?`],
  ['example.com/', `did you mean 'example.com'?`],
  ['*.', `'*.' is not a host pattern`],
  ['*.*', `'*.*' is not a host pattern`],
  ['a.*.com', 'is not a host pattern'],
  ['www*.example.com', 'is not a host pattern'],
  ['example..com', 'is not a host pattern'],
  ['exa mple.com', 'is not a host pattern'],
  ['example.com,evil.com', 'is not a host pattern'],
  ['/example\\.com/', 'is not a host pattern'],
  ['[1.2.3.4]', 'is not a host pattern'],
  ['[example.com]', 'is not a host pattern'],
  ['1.2.3', 'looks like an address and is not a canonical one'],
  ['0x7f.0.0.1', 'looks like an address'],
  ['*.113.7', 'looks like an address'],
  ['fe80::1%eth0', 'is not a host pattern'],
  ['xn--a.com', 'invalid A-label'],
  ['xn--.com', 'is not a host pattern'],
  ['xn--example-.com', 'is not a host pattern'],
  ['-example.com', `did you mean 'example.com'?`],
  ['*.-example.com', 'is not a host pattern'],
  ['example-.com', 'is not a host pattern'],
  ['\u202eexample.com', '\\u{202e}'],
  ['exam\u00adple.com', 'another spelling'],
  ['\uff45xample.com', 'another spelling'],
  ['faceboo\u212a.com', 'another spelling'],
  ['\u00e9%41.com', 'is not a host pattern'],
  ['\u00e9/a', 'is not a host pattern'],
  ['a\0.com', '\\u{0}'],
  [`${'a'.repeat(64)}.com`, 'is not a host pattern'],
])('parseHostPattern refuses %j and says %s', (text, want) => {
  const pattern = parseHostPattern(text);
  expect(pattern).toEqual({ ok: false, error: expect.stringContaining(want) });
});

test.each([
  ['example.com', null],
  ['example.com:8443', 8443],
  ['*.example.com:22', 22],
  ['*:443', 443],
  ['1.2.3.4:53', 53],
  ['[2001:db8::1]:443', 443],
  ['[2001:db8::1]', null],
  ['2001:db8::1', null],
])('parseHostPort finds the port of %s', (text, want) => {
  const parsed = parseHostPort(text);
  expect(parsed.ok && parsed.value.port).toBe(want);
});

test.each([
  'example.com:',
  'example.com:0',
  'example.com:070',
  'example.com:99999',
  ':443',
  'a:b:c',
  'example.com:443:443',
  '[::1]443',
])('parseHostPort refuses %s', text => {
  expect(parseHostPort(text).ok).toBe(false);
});

const labels = fc.array(fc.constantFrom('a', 'b', 'com', 'x1', '__proto__', 'constructor'), {
  minLength: 1,
  maxLength: 4,
});
const names = labels.map(parts => parts.join('.'));
const patterns = fc.oneof(
  names,
  names.map(name => `*.${name}`),
  fc.constant('*'),
);

function pattern(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

test('the index finds exactly the patterns that match one by one, the narrowest first', () => {
  fc.assert(
    fc.property(fc.array(patterns, { maxLength: 12 }), names, (texts, text) => {
      const host = parseHost(text);
      if (!host.ok || host.value.kind !== 'name') return;
      const wanted = host.value;
      const index = createNameIndex(texts.map(each => [pattern(each), each] as const));
      const found: string[] = [];
      for (let scope = index.find(wanted.name); scope !== null; scope = scope.outer)
        found.push(...scope.rules);
      expect([...found].sort()).toEqual(texts.filter(each => matchesHost(pattern(each), wanted)).sort());
      const depth = (each: string): number =>
        each === '*' ? 0 : each.split('.').length + (each.startsWith('*') ? 0 : 1);
      expect(found.map(depth)).toEqual(found.map(depth).sort((a, b) => b - a));
    }),
    FIXED,
  );
});

test('a pattern is the same after its text is read again, and no text makes the parser throw', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom(...'*.ab:[]@-_%é1x') }),
    patterns,
  );
  fc.assert(
    fc.property(texts, text => {
      const parsed = parseHostPort(text);
      if (!parsed.ok) return void expect(parsed.error).not.toMatch(/[\x00-\x1f\x7f\u202a-\u202e]/);
      expect(parseHostPattern(patternText(parsed.value.host))).toEqual({
        ok: true,
        value: parsed.value.host,
      });
    }),
    FIXED,
  );
});

test('an exact pattern matches its own host and no other', () => {
  fc.assert(
    fc.property(names, names, (one, other) => {
      const host = parseHost(other);
      if (!host.ok) return;
      expect(matchesHost(pattern(one), host.value)).toBe(one === hostText(host.value));
    }),
    FIXED,
  );
});
