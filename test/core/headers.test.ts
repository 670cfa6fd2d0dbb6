import { FieldNames, withoutHeaders } from '../../src/core/headers.js';

const NAMES = new FieldNames(['alt-svc', 'content-md5', 'x']);

test('FieldNames has its names in whatever case', () => {
  for (const name of ['alt-svc', 'Alt-Svc', 'ALT-SVC', 'Content-MD5', 'x', 'X']) {
    expect(NAMES.has(name)).toBe(true);
  }
});

test('FieldNames has no other, alike as they may be', () => {
  for (const name of [
    '',
    'alt-sv',
    'alt-svcs',
    'a_t-svc',
    'Accepts',
    'content-md6',
    'y',
    '8',
    'x'.repeat(65),
  ]) {
    expect(NAMES.has(name)).toBe(false);
  }
});

test('a name that is longer than the table is found all the same', () => {
  const long = `x-${'long'.repeat(40)}`;
  expect(new FieldNames([long]).has(long.toUpperCase())).toBe(true);
});

test('withoutHeaders gives the list itself where there is nothing to leave out', () => {
  const headers = [['Accept', '*/*'] as const];
  expect(withoutHeaders(headers, NAMES)).toBe(headers);
  expect(withoutHeaders([...headers, ['ALT-SVC', 'h3=":443"']], NAMES)).toEqual(headers);
});
