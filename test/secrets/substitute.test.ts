import { type HeaderList, noteRepeated } from '../../src/core/headers.js';
import { type SecretSet, SecretStore } from '../../src/secrets/store.js';
import { type Departing, substitute } from '../../src/secrets/substitute.js';
import { A, B, C, corpusSecrets, KEY, loaded, outbound, placesOf, setOf } from './fixtures.js';

const basic = (text: string): string => Buffer.from(text).toString('base64');
interface Swap {
  readonly name: string;
  readonly headers: HeaderList;
  readonly want: HeaderList;
}

const swaps: Swap[] = [
  {
    name: 'a bearer token',
    headers: [['Authorization', `Bearer ${A.placeholder}`]],
    want: [['Authorization', `Bearer ${A.value}`]],
  },
  {
    name: 'both of two in one value',
    headers: [['X', `${A.placeholder},${A.placeholder}`]],
    want: [['X', `${A.value},${A.value}`]],
  },
  {
    name: 'one that more characters follow',
    headers: [['X', `${A.placeholder}ffff`]],
    want: [['X', `${A.value}ffff`]],
  },
  {
    name: 'the password of Basic',
    headers: [['Authorization', `Basic ${basic(`u:${A.placeholder}`)}`]],
    want: [['Authorization', `Basic ${basic(`u:${A.value}`)}`]],
  },
  {
    name: 'the user of Basic without padding',
    headers: [['authorization', `bAsIc ${basic(`${A.placeholder}:x`).replace(/=+$/, '')}`]],
    want: [['authorization', `bAsIc ${basic(`${A.value}:x`)}`]],
  },
  {
    name: 'a cookie',
    headers: [['Cookie', `a=1; s=${A.placeholder}`]],
    want: [['Cookie', `a=1; s=${A.value}`]],
  },
  { name: 'a value that holds a placeholder, once', headers: [['X', C.placeholder]], want: [['X', C.value]] },
];

for (const { name, headers, want } of swaps) {
  test(`substitute swaps ${name}`, () => {
    const got = substitute(corpusSecrets(), outbound({ headers }));
    expect(got).toMatchObject({ ok: true, headers: want });
  });
}

test('substitute leaves base64 that is not Basic, and the list itself, alone', () => {
  const headers: HeaderList = [
    ['X-Data', basic(A.placeholder)],
    ['Accept', '*/*'],
  ];
  const got = substitute(corpusSecrets(), outbound({ headers }));
  expect(got.ok && got.headers).toBe(headers);
});

test('substitute writes patterns of String.replace literally', () => {
  const got = substitute(corpusSecrets(), outbound({ headers: [['X', B.placeholder]], inScope: ['B'] }));
  expect(got).toMatchObject({ ok: true, headers: [['X', B.value]], used: ['B'], redact: ['B'] });
  expect(got.ok && [...got.sensitive]).toEqual(['x']);
});

test('substitute percent-encodes a value in a query that it is pinned to', () => {
  const secrets = corpusSecrets({ places: placesOf('query'), pinned: true });
  const got = substitute(secrets, outbound({ path: `/x?a=1&key=${A.placeholder}` }));
  expect(got).toMatchObject({ ok: true, path: '/x?a=1&key=sk-live%2BREAL%2Fvalue%3D0123456789' });
});

test('substitute leaves a placeholder in a query by default, and says so', () => {
  const path = `/x?key=${A.placeholder}`;
  expect(substitute(corpusSecrets(), outbound({ path }))).toMatchObject({
    ok: true,
    path,
    used: [],
    left: [{ secret: 'A', place: 'query' }],
  });
});

interface Refused {
  readonly name: string;
  readonly given: Parameters<typeof outbound>[0];
  readonly want: object;
  readonly options?: Parameters<typeof corpusSecrets>[0];
}

const evil = { to: 'https://evil.test', inScope: [] };
const refusals: Refused[] = [
  {
    name: 'a placeholder for another host',
    given: { ...evil, headers: [['X', A.placeholder]] },
    want: { secret: 'A', place: 'header:x', encoding: 'plain', reason: 'out-of-scope' },
  },
  {
    name: 'a value for another host',
    given: { ...evil, headers: [['X', A.value]] },
    want: { secret: 'A', reason: 'value' },
  },
  {
    name: 'one out of scope beside one in scope',
    given: {
      headers: [
        ['X', A.placeholder],
        ['Y', B.placeholder],
      ],
    },
    want: { secret: 'B', place: 'header:y' },
  },
  {
    name: 'a placeholder over plain http',
    given: { to: 'http://api.allowed.test', headers: [['X', A.placeholder]] },
    want: { reason: 'plain-http' },
  },
  {
    name: 'a field name',
    given: { headers: [[`X-${A.placeholder}`, '1']] },
    want: { place: 'name', reason: 'forbidden-place' },
  },
  {
    name: 'a lower-cased field name',
    given: { headers: [[`x-${A.placeholder.toLowerCase()}`, '1']] },
    want: { place: 'name', encoding: 'case' },
  },
  { name: 'the method', given: { method: A.placeholder }, want: { place: 'method' } },
  { name: 'the host', given: { to: `https://${A.placeholder}` }, want: { place: 'host' } },
  {
    name: 'a path segment',
    given: { path: `/v1/${A.placeholder}/x` },
    want: { place: 'path', reason: 'forbidden-place' },
  },
  {
    name: 'a dropped field',
    given: { ...evil, dropped: [['Proxy-Authorization', `Basic ${basic(`u:${A.placeholder}`)}`]] },
    want: { place: 'header:proxy-authorization', encoding: 'base64' },
  },
  {
    name: 'a range',
    given: { headers: [['Range', `bytes=${A.placeholder}`]] },
    want: { place: 'header:range', reason: 'forbidden-place' },
  },
  {
    name: 'a field that a pinned secret is not for',
    given: { headers: [['X-Other', A.placeholder]] },
    options: { places: placesOf('header:authorization'), pinned: true },
    want: { place: 'header:x-other', reason: 'forbidden-place' },
  },
  {
    name: 'more than max_occurrences',
    given: { headers: [['X', `${A.placeholder} ${A.placeholder}`]] },
    options: { maxOccurrences: 1 },
    want: { reason: 'too-many' },
  },
  {
    name: 'a credential of the sandbox beside the required one',
    given: {
      headers: [
        ['Authorization', A.placeholder],
        ['Authorization', 'mine'],
      ],
      inScope: ['A'],
    },
    options: { requirePlaceholder: true },
    want: { place: 'header:authorization', reason: 'not-ours' },
  },
  {
    name: 'a request without the required placeholder',
    given: { inScope: ['A'] },
    options: { requirePlaceholder: true },
    want: { secret: 'A', reason: 'not-ours' },
  },
];

for (const { name, given, want, options } of refusals) {
  test(`substitute refuses ${name}`, () => {
    const got = substitute(corpusSecrets(options), outbound(given));
    expect(got).toMatchObject({ ok: false, leaks: [want] });
    expect(JSON.stringify(got)).not.toContain('sk-live');
  });
}

const spelled: [string, string][] = [
  ['percent', A.placeholder.replace('_', '%5F')],
  ['percent', encodeAll(A.placeholder)],
  ['double-percent', encodeAll(A.placeholder).replaceAll('%', '%25')],
  ['json', A.placeholder.replace('_', '\\u005f')],
  ['html', [...A.placeholder].map(c => `&#${c.charCodeAt(0)};`).join('')],
  ['base64', basic(`${A.placeholder}tail`)],
  ['base64', basic(`x${A.placeholder}tail`)],
  ['base64', basic(`xy${A.placeholder}tail`)],
  ['base64', Buffer.from(`?>${A.value}?>`).toString('base64url')],
  ['double-base64', basic(`a${basic(`b${A.placeholder}`)}`)],
  ['hex', Buffer.from(A.placeholder).toString('hex').toUpperCase()],
  ['reversed', [...A.value].reverse().join('')],
  ['case', A.placeholder.toUpperCase()],
  ['base64', encodeURIComponent(basic(`x${A.value}`))],
  ['json', [...A.placeholder].map(c => `\\u{${c.charCodeAt(0).toString(16)}}`).join('')],
  ['json', A.placeholder.replace('_', '\\u{00005f}')],
  ['percent', A.placeholder.replace('_', '%u005f')],
];

const inBasic: [string, string][] = [
  ['case', A.placeholder.toUpperCase()],
  ['percent', encodeAll(A.placeholder)],
  ['json', A.placeholder.replace('_', '\\u005f')],
  ['hex', Buffer.from(A.value).toString('hex')],
  ['reversed', [...A.value].reverse().join('')],
];

for (const [encoding, text] of inBasic) {
  test(`substitute finds ${encoding} under the base64 of Basic credentials`, () => {
    const value = `Basic ${Buffer.from(`u:${text}`, 'latin1').toString('base64')}`;
    const got = substitute(corpusSecrets(), outbound({ ...evil, headers: [['Authorization', value]] }));
    expect(got).toMatchObject({
      ok: false,
      leaks: [{ secret: 'A', place: 'header:authorization', encoding }],
    });
  });
}

for (const [encoding, text] of spelled) {
  for (const place of ['header', 'query', 'path'] as const) {
    test(`substitute finds ${encoding} in a ${place}: ${text.slice(0, 24)}`, () => {
      const given =
        place === 'header'
          ? { headers: [['X', text]] as HeaderList }
          : { path: place === 'query' ? `/?d=${text}` : `/${text}` };
      const got = substitute(corpusSecrets(), outbound({ ...evil, ...given }));
      expect(got).toMatchObject({ ok: false, leaks: [{ secret: 'A' }] });
      if (!text.includes('%')) expect(got).toMatchObject({ leaks: [{ encoding }] });
    });
  }
}

function encodeAll(text: string): string {
  return [...text].map(c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`).join('');
}

describe('a list that comes again and again', () => {
  const repeated = (value: string): HeaderList => {
    const headers: HeaderList = [['Authorization', `Bearer ${value}`]];
    noteRepeated(headers);
    return headers;
  };

  test('is judged anew by another scope', () => {
    const secrets = corpusSecrets();
    const headers = repeated(A.placeholder);
    for (let times = 0; times < 2; times++)
      expect(substitute(secrets, outbound({ headers }))).toMatchObject({ ok: true, used: ['A'] });
    expect(substitute(secrets, outbound({ headers, inScope: [] }))).toMatchObject({ ok: false });
    expect(substitute(secrets, outbound({ headers }))).toMatchObject({ ok: true });
  });

  test('is judged anew by other secrets', () => {
    const headers = repeated('nobody knows this yet');
    expect(substitute(corpusSecrets(), outbound({ headers, inScope: [] }))).toMatchObject({ ok: true });
    const leaking: HeaderList = repeated(A.value);
    for (let times = 0; times < 2; times++)
      expect(substitute(corpusSecrets(), outbound({ headers: leaking, inScope: [] }))).toMatchObject({
        ok: false,
      });
  });

  test('does not vouch for the path, nor for what ends here', () => {
    const secrets = corpusSecrets();
    const headers = repeated('nothing');
    for (let times = 0; times < 2; times++)
      expect(substitute(secrets, outbound({ headers, inScope: [] }))).toMatchObject({ ok: true });
    expect(substitute(secrets, outbound({ headers, inScope: [], path: `/${A.value}` }))).toMatchObject({
      ok: false,
    });
    const dropped: HeaderList = [['Proxy-Authorization', A.value]];
    expect(substitute(secrets, outbound({ headers, inScope: [], dropped }))).toMatchObject({ ok: false });
  });

  test('is filled once, and with the values that are in force', () => {
    const store = new SecretStore(KEY, 'run-1');
    const set = (value: string): SecretSet => setOf(loaded('A', value, { placeholder: A.placeholder }));
    const headers = repeated(A.placeholder);
    const before = store.forSandbox('vm-1', set(A.value));
    const inScope = ['A'];
    const filled = [1, 2, 3].map(() => departing(before, outbound({ headers, inScope })).headers);
    expect(filled[0]).toEqual([['Authorization', `Bearer ${A.value}`]]);
    expect(filled[2]).toBe(filled[0]);
    const after = store.forSandbox('vm-1', set('rotated-value-0123456789'));
    for (let times = 0; times < 2; times++) {
      const departed = departing(after, outbound({ headers, inScope }));
      expect(departed.headers).toEqual([['Authorization', 'Bearer rotated-value-0123456789']]);
    }
  });

  test('is filled anew by another scope', () => {
    const secrets = corpusSecrets();
    const headers: HeaderList = [['X', 'GWPH_ffffffffffffffffffffffffffffffff']];
    noteRepeated(headers);
    const scopes = [['A'], ['A', 'B']];
    for (let times = 0; times < 2; times++) {
      for (const inScope of scopes) {
        const { left, scope } = departing(secrets, outbound({ headers, inScope }));
        expect(left).toEqual([{ secret: null, place: 'header:x' }]);
        expect([...scope.allowed]).toEqual(inScope);
      }
    }
  });

  test('goes with each path as it is, and counts what the path holds', () => {
    const secrets = corpusSecrets({ maxOccurrences: 1, places: placesOf('header', 'query') });
    const headers = repeated(A.placeholder);
    for (const path of ['/a', '/b', '/b'])
      expect(departing(secrets, outbound({ headers, path }))).toMatchObject({ path, used: ['A'] });
    const twice = substitute(secrets, outbound({ headers, path: `/a?k=${A.placeholder}` }));
    expect(twice).toMatchObject({ ok: false, leaks: [{ reason: 'too-many' }] });
  });

  test('of a dialogue is filled for a dialogue', () => {
    const secrets = corpusSecrets({ places: placesOf('header', 'websocket') });
    const headers = repeated(A.placeholder);
    const inScope = ['A', 'B'];
    const redacted = (upgrade: 'websocket' | null): readonly string[] =>
      departing(secrets, outbound({ headers, inScope, upgrade })).redact;
    for (let times = 0; times < 2; times++) {
      expect(redacted(null)).toEqual(['A']);
      expect(redacted('websocket')).toEqual(['A', 'B']);
    }
  });
});

function departing(...from: Parameters<typeof substitute>): Departing {
  const substitution = substitute(...from);
  if (!substitution.ok) throw new Error(JSON.stringify(substitution.leaks));
  return substitution;
}
