import { gzipSync } from 'node:zlib';
import { type DialogueGuard, guardDialogue, type MessageKind } from '../../src/secrets/dialogue.js';
import { NO_SECRETS, type SandboxSecrets, SecretStore } from '../../src/secrets/store.js';
import { substitute } from '../../src/secrets/substitute.js';
import { A, B, corpusSecrets, KEY, loaded, outbound, placesOf, setOf } from './fixtures.js';

const EVIL = 'https://evil.test';
const OWN = 'https://api.allowed.test';

function dialogue(secrets: SandboxSecrets, to: string, inScope: readonly string[]): DialogueGuard | null {
  const departing = substitute(secrets, outbound({ to, inScope, upgrade: 'websocket' }));
  if (!departing.ok) throw new Error('the handshake leaks');
  return guardDialogue(secrets, departing);
}

async function say(
  guard: DialogueGuard | null,
  ...messages: readonly (readonly [MessageKind, string | Uint8Array])[]
): Promise<string> {
  let last = '';
  for (const [kind, text] of messages) {
    const { payload, leak } = (await guard?.outgoing(kind, Buffer.from(text))) ?? { payload: [], leak: null };
    if (leak !== null) return `${leak.secret} ${leak.place} ${leak.encoding} ${leak.reason}`;
    last = Buffer.from(payload).toString();
  }
  return last;
}

function pinned(...places: readonly string[]): SandboxSecrets {
  const options = { placeholder: A.placeholder, places: placesOf(...places), pinned: true };
  return new SecretStore(KEY, 'run').forSandbox('vm', setOf(loaded('A', A.value, options)));
}

const outOfScope = [
  {
    name: 'a placeholder',
    messages: [['text', `{"t":"${A.placeholder}"}`]],
    want: 'A websocket plain out-of-scope',
  },
  { name: 'a value in binary', messages: [['binary', A.value]], want: 'A websocket plain value' },
  {
    name: 'a value in Base64',
    messages: [['text', Buffer.from(`x${A.value}y`).toString('base64')]],
    want: 'A websocket base64 value',
  },
  {
    name: 'a placeholder in a ping',
    messages: [['control', A.placeholder]],
    want: 'A websocket plain out-of-scope',
  },
  {
    name: 'a placeholder in a compressed message',
    messages: [['binary', gzipSync(A.placeholder)]],
    want: 'A websocket compressed out-of-scope',
  },
  {
    name: 'a placeholder over two messages',
    messages: [
      ['text', A.placeholder.slice(0, 20)],
      ['text', A.placeholder.slice(20)],
    ],
    want: 'A websocket plain out-of-scope',
  },
] as const;

for (const { name, messages, want } of outOfScope) {
  test(`a dialogue with a host out of scope stops at ${name}`, async () => {
    expect(await say(dialogue(corpusSecrets(), EVIL, []), ...messages)).toBe(want);
  });
}

test('a secret that may stand in messages is filled in, in text only', async () => {
  const secrets = pinned('websocket');
  expect(await say(dialogue(secrets, OWN, ['A']), ['text', `t=${A.placeholder} é`])).toBe(`t=${A.value} é`);
  expect(await say(dialogue(secrets, OWN, ['A']), ['binary', A.placeholder])).toBe(
    'A websocket plain forbidden-place',
  );
});

test('a secret that may stand elsewhere only is refused where `in` says so, and left where it does not', async () => {
  expect(await say(dialogue(pinned('header'), OWN, ['A']), ['text', A.placeholder])).toBe(
    'A websocket plain forbidden-place',
  );
  expect(await say(dialogue(corpusSecrets(), OWN, ['A', 'C']), ['text', A.placeholder])).toBe(A.placeholder);
});

test('max_occurrences counts all messages', async () => {
  const options = {
    placeholder: A.placeholder,
    places: placesOf('websocket'),
    pinned: true,
    maxOccurrences: 1,
  };
  const secrets = new SecretStore(KEY, 'run').forSandbox('vm', setOf(loaded('A', A.value, options)));
  const guard = dialogue(secrets, OWN, ['A']);
  expect(await say(guard, ['text', A.placeholder])).toBe(A.value);
  expect(guard?.used).toEqual(['A']);
  expect(await say(guard, ['text', A.placeholder])).toBe('A websocket plain too-many');
});

test("another sandbox's placeholder is a leak, whose owner is named", async () => {
  const store = new SecretStore(KEY, 'run');
  const set = setOf(loaded('A', A.value));
  const other = store.forSandbox('other', set).placeholderOf('A');
  const guard = dialogue(store.forSandbox('vm', set), OWN, ['A']);
  expect(await guard?.outgoing('text', Buffer.from(other))).toMatchObject({
    leak: { reason: 'foreign', owner: { sandbox: 'other' } },
  });
});

test('what comes back is redacted of what the dialogue may carry', () => {
  const guard = dialogue(corpusSecrets(), OWN, ['A', 'C']);
  const back = (text: string): string => Buffer.from(guard?.incoming(Buffer.from(text)) ?? []).toString();
  expect(back(`you said ${A.value}`)).toBe(`you said ${A.placeholder}`);
  expect(back(`nobody said ${B.value}`)).toBe(`nobody said ${B.value}`);
});

test('a sandbox without secrets has dialogues that pass unread', () => {
  expect(dialogue(NO_SECRETS, OWN, [])).toBeNull();
});
