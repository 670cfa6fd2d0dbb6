/** The main job on real traffic: real curl in a real namespace, through the built command line. */
import type { Event } from '../../src/events/event.js';
import { type CliOptions, Workplace } from '../support/cli.js';
import { makeTestCa } from '../support/tls.js';
import { startUpstream, type Upstream } from '../support/upstream.js';

const TOKEN = 'ghp_real+token/value=0123456789';
const NAME = 'api.example.test';
const ca = makeTestCa();
const place = new Workplace();
let upstream: Upstream;
let flags: string[];

beforeAll(async () => {
  upstream = await startUpstream({ tls: { ca, names: [NAME, 'other.example.test'] } });
  flags = [
    ...['--allow', NAME, '--allow', 'other.example.test'],
    ...[
      '--add-host',
      `${NAME}=127.0.0.1:${upstream.port}`,
      '--add-host',
      `other.example.test=127.0.0.1:${upstream.port}`,
    ],
    ...['--secret', `TOKEN@${NAME}`, '--upstream-ca', place.file('ca.pem', ca.certPem)],
  ];
});
afterAll(async () => {
  await upstream.close();
  place.remove();
});
beforeEach(() => upstream.clear());

const sh = (
  script: string,
  { args = [], ...options }: CliOptions & { readonly args?: readonly string[] } = {},
) =>
  place.sallyport(['run', ...flags, ...args, '--', 'sh', '-c', script], {
    env: { TOKEN },
    events: true,
    ...options,
  });
const types = (events: readonly Event[]): string[] => events.map(event => event.type);

test('the upstream gets the value, the sandbox holds a placeholder, the log has neither', async () => {
  const { code, stdout, stderr, events } = await sh(
    `echo $TOKEN; curl -sS -H "Authorization: Bearer $TOKEN" https://${NAME}/user`,
  );
  expect(stderr).toContain('1 request');
  expect(stdout).toMatch(/^GWPH_[0-9a-f]{32}\nok/);
  expect(code).toBe(0);
  expect(upstream.requests).toMatchObject([{ method: 'GET', target: '/user', host: NAME }]);
  expect(upstream.bytes.toString()).toContain(`Bearer ${TOKEN}`);
  expect(JSON.stringify(events)).not.toContain(TOKEN);
  expect(events.find(event => event.type === 'request.done')?.network).toMatchObject({
    host: NAME,
    status_code: 200,
    rule: `--allow ${NAME}`,
    secrets: ['TOKEN'],
    destination: `127.0.0.1:${upstream.port}`,
  });
  expect(types(events).filter(type => type === 'flow.closed')).toHaveLength(1);
});

test('a placeholder for another host is refused in words, and nothing of the request leaves', async () => {
  const { stdout, events } = await sh(`curl -sS -H "X-Key: $TOKEN" https://other.example.test/`);
  expect(JSON.parse(stdout)).toMatchObject({ error: 'ErrSecretLeak', host: 'other.example.test' });
  expect(upstream.requests).toHaveLength(0);
  expect(types(events)).toContain('secret.leak');
});

test('a denied name has no address, and the refusal is one line for a person', async () => {
  const { code, stderr } = await sh('curl -sS https://evil.example.test/', { events: false });
  expect(code).toBe(6);
  expect(stderr).toMatch(/sallyport: refused to look up evil\.example\.test \(no-rule\)/);
});

test('the exit code, standard input and the working directory pass through', async () => {
  const { code, stdout } = await sh('cat; echo x > made-here; pwd; exit 42', { input: 'from outside' });
  expect(code).toBe(42);
  expect(stdout).toBe(`from outside${place.dir}\n`);
});

test.each([
  ['a command that does not exist', ['run', '--', 'no-such-command-here'], 127, /no-such-command-here/],
  ['a command that cannot be run', ['run', '--', '/etc/passwd'], 126, /passwd/],
  ['an unknown flag', ['run', '--frobnicate', '--', 'true'], 125, /unknown option/],
  [
    'a pattern that is none',
    ['run', '--allow', '*example.com', '--', 'true'],
    125,
    /did you mean '\*\.example\.com'/,
  ],
  ['a port that is none', ['run', '--allow', 'example.com:70000', '--', 'true'], 125, /70000/],
  ['a secret that is not set', ['run', '--secret', 'NOPE@example.com', '--', 'true'], 125, /NOPE/],
  [
    'a policy that does not exist',
    ['run', '--policy', '/nonexistent.yaml', '--', 'true'],
    125,
    /nonexistent/,
  ],
])('%s is a clear message and a documented exit code', async (_what, args, code, message) => {
  const finished = await place.sallyport(args);
  expect(finished.stderr).toMatch(message);
  expect(finished.code).toBe(code);
  expect(finished.stderr).not.toMatch(/\n {4}at /);
});

test('the event log and the file of a secret lie in the working directory, and the sandbox sees neither', async () => {
  place.file('token', 'value-of-the-file-9f8e7d');
  const policy = place.file(
    'policy.yaml',
    `secrets: { FILED: { hosts: [${NAME}], value_from: { file: ${place.dir}/token } } }`,
  );
  const { stdout, events } = await sh(
    `cat token events.jsonl; echo forged >> events.jsonl; echo "[$FILED]"`,
    {
      args: ['--policy', policy],
    },
  );
  expect(stdout).toMatch(/^\[GWPH_[0-9a-f]{32}\]\n$/);
  expect(types(events)[0]).toBe('gateway.started');
});
