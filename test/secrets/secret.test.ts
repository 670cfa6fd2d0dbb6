import { inspect } from 'node:util';
import {
  MAX_VALUE_BYTES,
  parseSecret,
  reveal,
  revealWire,
  type SecretFault,
} from '../../src/secrets/secret.js';

const VALUE = 'sk-live+REAL/value=0123456789';

test('a secret renders as its name however it is printed', () => {
  const parsed = parseSecret('TOKEN', VALUE);
  if (!parsed.ok) throw new Error(parsed.error);
  const secret = parsed.value;
  const renderings = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret, { showHidden: true, depth: null }),
    inspect({ deep: [secret] }, { depth: null }),
    new Error('failed', { cause: secret }).stack ?? '',
    JSON.stringify(structuredClone({ ...secret })),
    JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
  ];
  for (const text of renderings) expect(text).not.toContain('sk-live');
  expect(renderings[0]).toBe('<secret TOKEN>');
  expect(reveal(secret)).toBe(VALUE);
});

test('revealWire gives the bytes of a value that is not ASCII', () => {
  const parsed = parseSecret('TOKEN', 'pässwörd');
  expect(parsed.ok && Buffer.from(revealWire(parsed.value), 'latin1').toString('utf8')).toBe('pässwörd');
});

const refused: readonly (readonly [string, string, string, SecretFault])[] = [
  ['a line feed', 'T', 'x\r\nX-Injected: 1', 'control-character'],
  ['a carriage return', 'T', 'x\ry', 'control-character'],
  ['a NUL', 'T', 'x\0y', 'control-character'],
  ['DEL', 'T', 'x\x7f', 'control-character'],
  ['an empty value', 'T', '', 'empty'],
  ['half a surrogate pair', 'T', 'x\ud800y', 'lone-surrogate'],
  ['an endless value', 'T', 'x'.repeat(MAX_VALUE_BYTES + 1), 'too-long'],
  ['a name with a hyphen', 'A-B', 'x', 'bad-name'],
  ['a name that begins with a digit', '1A', 'x', 'bad-name'],
];

for (const [what, name, value, fault] of refused) {
  test(`parseSecret refuses ${what}`, () => {
    expect(parseSecret(name, value)).toEqual({ ok: false, error: fault });
  });
}
