import fc from 'fast-check';
import { type Place, type PlaceFault, parsePlace } from '../../src/secrets/place.js';

const cases: readonly (readonly [string, Place | PlaceFault])[] = [
  ['header', { kind: 'header', name: null }],
  ['header:X-Api-Key', { kind: 'header', name: 'x-api-key' }],
  ['basic', { kind: 'basic' }],
  ['query', { kind: 'query', name: null }],
  ['query:key', { kind: 'query', name: 'key' }],
  ['path', { kind: 'path' }],
  ['body', { kind: 'body' }],
  ['body:json:$.auth.token', { kind: 'json', keys: ['auth', 'token'] }],
  ['body:form:client_secret', { kind: 'form', field: 'client_secret' }],
  ['websocket', { kind: 'websocket' }],
  ['header:Host', 'forbidden-field'],
  ['header:transfer-encoding', 'forbidden-field'],
  ['header:Proxy-Authorization', 'forbidden-field'],
  ['header:a b', 'not-a-place'],
  ['header:', 'not-a-place'],
  ['query:', 'not-a-place'],
  ['body:json:token', 'not-a-json-path'],
  ['body:json:$', 'not-a-json-path'],
  ['body:json:$.a[0]', 'not-a-json-path'],
  ['body:form:', 'not-a-place'],
  ['body:xml:a', 'not-a-place'],
  ['path:x', 'not-a-place'],
  ['', 'not-a-place'],
  ['Header', 'not-a-place'],
  ['__proto__', 'not-a-place'],
];

for (const [text, want] of cases) {
  test(`parsePlace reads '${text}'`, () => {
    const got = parsePlace(text);
    expect(got).toEqual(typeof want === 'string' ? { ok: false, error: want } : { ok: true, value: want });
  });
}

test('parsePlace never throws', () => {
  fc.assert(
    fc.property(fc.string(), text => typeof parsePlace(text).ok === 'boolean'),
    { seed: 20_262 },
  );
});
