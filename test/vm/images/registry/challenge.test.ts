import fc from 'fast-check';
import { parseChallenge, tokenUrl } from '../../../../src/vm/images/registry/challenge.js';
import { mayFollow, parseOrigin } from '../../../../src/vm/images/registry/origin.js';

test('parseChallenge reads the realm and the service of a token, and the scope asked for stays ours', () => {
  const field =
    'Bearer realm="https://auth.test/token?a=b",service="reg.test",scope="repository:x:pull,push"';
  const challenge = parseChallenge(field);
  if (challenge?.scheme !== 'bearer') throw new Error('not read');
  expect(tokenUrl(challenge, 'team/app').href).toBe(
    'https://auth.test/token?a=b&service=reg.test&scope=repository%3Ateam%2Fapp%3Apull',
  );
});

test.each([
  ['Basic realm="x"', 'basic'],
  ['basic', 'basic'],
  ['bearer realm=https://a.test/t', 'bearer'],
])('parseChallenge reads %s', (field, scheme) => {
  expect(parseChallenge(field)?.scheme).toBe(scheme);
});

test.each([
  '',
  'Digest realm="x"',
  'Bearer',
  'Bearer realm="nowhere"',
  'Bearer realm="https://a.test" realm="https://b.test"',
  'Bearer realm="https://a.test",realm="https://b.test"',
  'Bearer realm="https://a.test',
])('parseChallenge refuses %s', field => {
  expect(parseChallenge(field)).toBeNull();
});

test('parseChallenge never throws', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), noise => {
      parseChallenge(noise);
      parseChallenge(`Bearer ${noise}`);
    }),
    { seed: 9, numRuns: 2000 },
  );
});

test.each([
  ['docker.io', 'https://registry-1.docker.io/'],
  ['reg.test:5000', 'https://reg.test:5000/'],
  ['localhost:5000', 'http://localhost:5000/'],
  ['127.0.0.1', 'http://127.0.0.1/'],
  ['https://127.0.0.1:1', 'https://127.0.0.1:1/'],
  ['http://reg.test', 'http://reg.test/'],
])('parseOrigin finds %s at %s', (text, url) => {
  expect(parseOrigin(text)?.base.href).toBe(url);
});

test.each(['', 'a/b', 'ftp://a.test', 'user@a.test', 'a.test:0', 'a.test:99999', 'a b'])(
  'parseOrigin refuses %p',
  text => {
    expect(parseOrigin(text)).toBeNull();
  },
);

test.each([
  ['https://a.test', 'https://b.test/x', true],
  ['http://127.0.0.1:1', 'https://b.test/x', true],
  ['http://127.0.0.1:1', 'http://localhost:2/x', true],
  ['http://a.test', 'http://a.test/x', true],
  ['https://a.test', 'http://a.test/x', false],
  ['https://a.test', 'http://127.0.0.1/x', false],
  ['http://a.test', 'http://b.test/x', false],
  ['http://a.test', 'http://127.0.0.1/x', false],
  ['https://a.test', 'https://user:pw@a.test/x', false],
  ['https://a.test', 'file:///etc/passwd', false],
])('from %s a redirect to %s is followed: %p', (from, to, follows) => {
  expect(mayFollow(new URL(from), new URL(to))).toBe(follows);
});
