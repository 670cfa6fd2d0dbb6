import fc from 'fast-check';
import {
  readMessageAnswer,
  readNotes,
  readPermission,
  readRequestAnswer,
  readResponseAnswer,
} from '../../src/script/answers.js';

const READERS = [readPermission, readRequestAnswer, readResponseAnswer, readMessageAnswer, readNotes];

test.each([
  ['undefined is no JSON', '', null],
  ['null', 'null', null],
  ['a word', '"allow"', null],
  ['a number', '1', null],
  ['true by itself', 'true', null],
  ['a list', '[{"allow":true}]', null],
  ['nothing in it', '{}', null],
  ['the text true', '{"allow":"true"}', null],
  ['false', '{"allow":false}', null],
  ['two forms at once', '{"allow":true,"deny":"no"}', null],
  ['a key beside it', '{"allow":true,"extra":1}', null],
  ['a form by way of the prototype', '{"__proto__":{"allow":true}}', null],
  ['a denial without a reason', '{"deny":""}', null],
  ['a denial with true', '{"deny":true}', null],
  ['a rewrite of the host', '{"rewrite":{"host":"169.254.169.254"}}', null],
  ['a rewrite of the method', '{"rewrite":{"method":"GET"}}', null],
  ['a rewrite of nothing known', '{"rewrite":[]}', null],
  ['one header twice', '{"rewrite":{"headers":{"A":"1","a":"2"}}}', null],
  ['a header that is a number', '{"rewrite":{"headers":{"a":1}}}', null],
  ['a path that is a list', '{"rewrite":{"path":["/"]}}', null],
  ['a status of 101', '{"respond":{"status":101}}', null],
  ['a status of 999', '{"respond":{"status":999}}', null],
  ['a status of 200.5', '{"respond":{"status":200.5}}', null],
  ['a body for 304', '{"respond":{"status":304,"body":"x"}}', null],
  ['a body that is an object', '{"respond":{"body":{}}}', null],
  ['a status that is null', '{"respond":{"status":null}}', null],
  ['headers that are null', '{"rewrite":{"headers":null}}', null],
  ['a path that is null', '{"rewrite":{"path":null}}', null],
  ['permission', '{"allow":true}', { kind: 'allow' }],
  ['a denial', '{"deny":"no"}', { kind: 'deny', code: 'script', reason: 'no' }],
  [
    'a rewrite',
    '{"rewrite":{"headers":{"A":"1","B":null,"C":["2","3"]},"path":"/x","query":""}}',
    {
      kind: 'rewrite',
      headers: new Map([
        ['A', ['1']],
        ['B', []],
        ['C', ['2', '3']],
      ]),
      path: '/x',
      query: '',
    },
  ],
  ['an answer of its own', '{"respond":{}}', { kind: 'respond', status: 200, headers: new Map(), body: '' }],
])('readRequestAnswer knows %s', (_what, text, expected) => {
  const answer = readRequestAnswer(text);
  expect(answer.ok ? answer.value : null).toEqual(expected);
});

test('what is right for one hook is an error for another', () => {
  expect(readPermission('{"pass":true}').ok).toBe(false);
  expect(readMessageAnswer('{"allow":true}').ok).toBe(false);
  expect(readResponseAnswer('{"allow":true}').ok).toBe(false);
  expect(readPermission('{"rewrite":{}}').ok).toBe(false);
  expect(readResponseAnswer('{"rewrite":{"path":"/"}}').ok).toBe(false);
});

test('notes are a short list of short texts', () => {
  expect(readNotes('{}')).toEqual({ ok: true, value: [] });
  expect(readNotes('{"annotate":["a"]}')).toEqual({ ok: true, value: ['a'] });
  expect(readNotes('{"annotate":"a"}').ok).toBe(false);
  expect(readNotes(JSON.stringify({ annotate: ['x'.repeat(257)] })).ok).toBe(false);
  expect(readNotes(JSON.stringify({ annotate: Array.from({ length: 17 }, () => 'x') })).ok).toBe(false);
});

test('a very long reason is cut', () => {
  const answer = readPermission(JSON.stringify({ deny: 'x'.repeat(10_000) }));
  expect(answer).toMatchObject({ ok: true, value: { reason: 'x'.repeat(500) } });
});

test('no JSON makes a reader throw, and only the documented forms are taken', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), json => {
      for (const read of READERS) {
        const answer = read(json);
        if (answer.ok) expect(Object.keys(JSON.parse(json) as object).length).toBeLessThanOrEqual(1);
      }
    }),
    { seed: 5, numRuns: 500 },
  );
});
