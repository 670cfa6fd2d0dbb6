import { sandboxEnvironment } from '../../src/secrets/environment.js';
import { isPlaceholder, whose } from '../../src/secrets/placeholder.js';
import { redactText } from '../../src/secrets/redact.js';
import { SecretStore } from '../../src/secrets/store.js';
import { substitute } from '../../src/secrets/substitute.js';
import { A, KEY, loaded, outbound, setOf } from './fixtures.js';

const OLD = 'old-value-before-rotation';
const NEW = 'new-value-after-rotation';

test('each sandbox has placeholders of its own, and another one is told from a stranger', () => {
  const store = new SecretStore(KEY, 'run-1');
  const one = store.forSandbox('vm-1', setOf(loaded('A', A.value)));
  const two = store.forSandbox('vm-2', setOf(loaded('A', A.value)));
  expect(one.placeholderOf('A')).not.toBe(two.placeholderOf('A'));
  expect(isPlaceholder(one.placeholderOf('A'))).toBe(true);
  expect(store.owner(one.placeholderOf('A'))).toEqual({ run: 'run-1', sandbox: 'vm-1', secret: 'A' });
  expect(whose(two.placeholderOf('A'), KEY, store.owners())?.sandbox).toBe('vm-2');

  store.release('vm-1');
  const shown = outbound({
    headers: [['Authorization', `Bearer ${one.placeholderOf('A')}`]],
    inScope: ['A'],
  });
  expect(substitute(two, shown)).toMatchObject({
    ok: false,
    leaks: [{ secret: 'A', reason: 'foreign', owner: { sandbox: 'vm-1' } }],
  });
});

test('a placeholder that nobody made leaves as it is, and is reported', () => {
  const secrets = new SecretStore(KEY, 'run-1').forSandbox('vm-1', setOf(loaded('A', A.value)));
  const unknown = `GWPH_${'f'.repeat(32)}`;
  const got = substitute(secrets, outbound({ headers: [['X', unknown]], inScope: ['A'] }));
  expect(got).toMatchObject({
    ok: true,
    headers: [['X', unknown]],
    left: [{ secret: null, place: 'header:x' }],
  });
});

test('rotation keeps the placeholder, uses the new value, and blocks the old one everywhere', () => {
  const store = new SecretStore(KEY, 'run-1');
  const before = store.forSandbox('vm-1', setOf(loaded('A', OLD)));
  const after = store.forSandbox('vm-1', setOf(loaded('A', NEW)));
  const placeholder = before.placeholderOf('A');
  expect(after.placeholderOf('A')).toBe(placeholder);
  const request = outbound({ headers: [['X', placeholder]], inScope: ['A'] });
  expect(substitute(after, request)).toMatchObject({ ok: true, headers: [['X', NEW]] });
  // A request that began before keeps its view.
  expect(substitute(before, request)).toMatchObject({ ok: true, headers: [['X', OLD]] });
  const stale = outbound({ headers: [['X', OLD]], inScope: ['A'] });
  expect(substitute(after, stale)).toMatchObject({ ok: false, leaks: [{ secret: 'A', reason: 'retired' }] });
});

test('a value that comes back is no longer retired', () => {
  const store = new SecretStore(KEY, 'run-1');
  store.forSandbox('vm-1', setOf(loaded('A', OLD)));
  store.forSandbox('vm-1', setOf(loaded('A', NEW)));
  const again = store.forSandbox('vm-1', setOf(loaded('A', OLD)));
  expect(
    substitute(again, outbound({ headers: [['X', again.placeholderOf('A')]], inScope: ['A'] })),
  ).toMatchObject({
    ok: true,
  });
});

test('a secret that was taken away is refused, not sent empty', () => {
  const store = new SecretStore(KEY, 'run-1');
  const placeholder = store.forSandbox('vm-1', setOf(loaded('A', A.value))).placeholderOf('A');
  const after = store.forSandbox('vm-1', setOf());
  expect(after.empty).toBe(false);
  const got = substitute(
    after,
    outbound({ headers: [['Authorization', `Bearer ${placeholder}`]], inScope: ['A'] }),
  );
  expect(got).toMatchObject({ ok: false, leaks: [{ secret: 'A', reason: 'retired' }] });
});

test('the environment holds placeholders, and no value in any coding', () => {
  const secrets = new SecretStore(KEY, 'run-1').forSandbox(
    'vm-1',
    setOf(loaded('TOKEN', A.value), loaded('PIN', '1234')),
  );
  const token = secrets.placeholderOf('TOKEN');
  const env = sandboxEnvironment(secrets, {
    TOKEN: A.value,
    COPY: A.value,
    URL: `https://u:${encodeURIComponent(A.value)}@x/`,
    BASIC: Buffer.from(`u:${A.value}`).toString('base64'),
    [`X_${A.value}`]: '1',
    ALSO_PIN: '1234',
    PORT: '12345',
    ABSENT: undefined,
    HOME: '/home/é',
  });
  expect(env).toEqual({
    TOKEN: token,
    PIN: secrets.placeholderOf('PIN'),
    COPY: token,
    URL: `https://u:${token}@x/`,
    BASIC: expect.not.stringContaining('c2stbGl2'),
    ALSO_PIN: secrets.placeholderOf('PIN'),
    PORT: '12345',
    HOME: '/home/é',
  });
});

test('a secret is in the environment even if the gateway has no such variable', () => {
  const secrets = new SecretStore(KEY, 'run-1').forSandbox('vm-1', setOf(loaded('TOKEN', A.value)));
  expect(sandboxEnvironment(secrets, {})).toEqual({ TOKEN: secrets.placeholderOf('TOKEN') });
});

test('what finds values is shared by sandboxes with the same secrets, and gone with them', () => {
  const store = new SecretStore(KEY, 'run-1');
  const set = setOf(loaded('A', OLD));
  const [one, two] = [store.forSandbox('vm-1', set), store.forSandbox('vm-2', set)];
  expect(one.valuesOf(['A'])).toBe(two.valuesOf(['A']));
  for (const secrets of [one, two])
    expect(redactText(secrets, ['A'], `x ${OLD}`)).toBe(`x ${secrets.placeholderOf('A')}`);
  expect(one.placeholderOf('A')).not.toBe(two.placeholderOf('A'));
  const rotated = store.forSandbox('vm-1', setOf(loaded('A', NEW)));
  expect(redactText(rotated, ['A'], `${OLD} ${NEW}`)).toBe(`${OLD} ${rotated.placeholderOf('A')}`);
});
