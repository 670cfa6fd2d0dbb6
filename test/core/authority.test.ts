import fc from 'fast-check';
import {
  authorityText,
  parseAuthority,
  parsePort,
  parseUrl,
  sameAuthority,
} from '../../src/core/authority.js';

const FIXED = { seed: 20261122, numRuns: 3000 };

test.each([
  ['example.com', 'https', 'example.com'],
  ['EXAMPLE.com.:443', 'https', 'example.com'],
  ['example.com:443', 'http', 'example.com:443'],
  ['example.com:80', 'http', 'example.com'],
  ['[2001:DB8::1]', 'https', '[2001:db8::1]'],
  ['[2001:db8::1]:8443', 'https', '[2001:db8::1]:8443'],
  ['1.2.3.4:65535', 'http', '1.2.3.4:65535'],
] as const)('parseAuthority reads %s over %s as %s', (text, scheme, want) => {
  const authority = parseAuthority(text, scheme);
  expect(authority.ok && authorityText(authority.value)).toBe(want);
});

test.each([
  ['', 'empty'],
  [':443', 'bad-character'],
  ['example.com:', 'bad-port'],
  ['example.com:0', 'bad-port'],
  ['example.com:0443', 'bad-port'],
  ['example.com:65536', 'bad-port'],
  ['example.com:-1', 'bad-port'],
  ['example.com:+80', 'bad-port'],
  ['example.com:80:80', 'bad-port'],
  ['example.com: 80', 'bad-port'],
  ['example.com:443\n', 'bad-port'],
  ['user@example.com', 'userinfo'],
  ['example.com:443@evil.com', 'userinfo'],
  ['[::1]@example.com', 'userinfo'],
  ['[::1]x', 'bad-character'],
  ['[::1]:', 'bad-port'],
  ['::1:443', 'empty'],
  ['example.com/', 'bad-character'],
  ['example.com#', 'bad-character'],
] as const)('parseAuthority refuses %j', (text, error) => {
  const authority = parseAuthority(text, 'https');
  expect(authority.ok).toBe(false);
  if (!authority.ok && error !== 'bad-character' && error !== 'empty') expect(authority.error).toBe(error);
});

test('an authority is the same after its text is read again, and no text makes parseAuthority throw', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(...'ab.:[]@019%/ \0') }),
    fc.webAuthority(),
  );
  fc.assert(
    fc.property(texts, fc.constantFrom('http' as const, 'https' as const), (text, scheme) => {
      const authority = parseAuthority(text, scheme);
      if (!authority.ok) return;
      const again = parseAuthority(authorityText(authority.value), scheme);
      expect(again.ok && sameAuthority(again.value, authority.value)).toBe(true);
    }),
    FIXED,
  );
});

test.each(['1', '80', '65535'])('parsePort reads %s', text => {
  expect(parsePort(text)).toEqual({ ok: true, value: Number(text) });
});

test.each(['', '0', '00', '080', '65536', '99999', '1e3', '0x50', ' 80', '80 ', '８０', '+80', '-1', '8.0'])(
  'parsePort refuses %j',
  text => {
    expect(parsePort(text)).toEqual({ ok: false, error: 'bad-port' });
  },
);

test.each([
  ['https://example.com', 'example.com', '/'],
  ['HTTP://EXAMPLE.com:80/a?b=c', 'example.com', '/a?b=c'],
  ['https://[2001:db8::1]:8443/@x', '[2001:db8::1]:8443', '/@x'],
])('parseUrl reads %s', (text, authority, path) => {
  const url = parseUrl(text);
  expect(url.ok && { authority: authorityText(url.value.authority), path: url.value.path }).toEqual({
    authority,
    path,
  });
});

test.each([
  ['ftp://example.com/', 'bad-scheme'],
  ['//example.com/', 'bad-scheme'],
  ['http:/example.com/', 'bad-scheme'],
  [' http://example.com/', 'bad-scheme'],
  ['http:\\\\example.com', 'bad-scheme'],
  ['http://u@example.com/', 'userinfo'],
  ['http://example.com/a#b', 'bad-target'],
  ['http://example.com/a b', 'bad-target'],
  ['http://example.com/a\\b', 'bad-target'],
  ['http://example.com/\u00e9', 'bad-target'],
  ['http://example.com/\r\nX: y', 'bad-target'],
  ['http:///x', 'empty'],
  ['http://example.com?x', 'bad-character'],
] as const)('parseUrl refuses %j as %s', (text, error) => {
  expect(parseUrl(text)).toEqual({ ok: false, error });
});
