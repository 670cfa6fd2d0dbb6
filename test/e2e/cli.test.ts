/** The command line's other words, and what it says to bad input: all of it at once, with lines, without a stack. */
import { readFileSync } from 'node:fs';
import { readEvents } from '../support/cli.js';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const TOKEN = 'cli-real-value-0123456789';
const stage = new Stage();

beforeAll(async () => {
  await stage.https(NAME, (request, response) => {
    response.end(`${request.headers['x-key'] === TOKEN ? 'value' : 'none'}\n`);
  });
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
});
afterAll(() => stage.close());

const BROKEN = `mode: block_some
allow_domain:
  - "*example.com"
  - ok.example.com:70000
allow_domains: [typo.example.com]
secrets:
  KEY: { hosts: [] }
`;

test.each([
  ['check', ['check'], 2],
  ['run', ['run', '--policy'], 125],
])('%s lists every problem of a policy with its line', async (_word, args, code) => {
  const path = stage.place.file('broken.yaml', BROKEN);
  const rest = args[0] === 'run' ? ['--', 'true'] : [];
  const finished = await stage.place.sallyport([...args, path, ...rest]);
  expect(finished.code).toBe(code);
  for (const problem of [/mode/, /\*\.example\.com/, /70000/, /allow_domains/, /KEY/]) {
    expect(finished.stderr).toMatch(problem);
  }
  for (const line of [1, 3, 4, 5, 7])
    expect(finished.stderr).toMatch(new RegExp(`:${line}:|line ${line}\\b`));
  expect(finished.stderr).not.toMatch(/\n {4}at /);
});

test('a key that stands twice is a problem, not a choice', async () => {
  const path = stage.place.file('twice.yaml', 'mode: block_all\nmode: allow_all\n');
  const { code, stderr } = await stage.place.sallyport(['check', path]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/mode|unique|twice|duplicate/i);
});

test('check passes a good policy, and explain gives verdict, rule and reason', async () => {
  const path = stage.place.file('good.yaml', 'allow_domain: [api.example.com]\n');
  expect(await stage.place.sallyport(['check', path])).toMatchObject({ code: 0, stderr: '' });
  const allowed = await stage.place.sallyport(['explain', '--policy', path, 'https://api.example.com/x']);
  expect(allowed).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^allowed: [\s\S]*allow_domain\[0\]/),
  });
  const refused = await stage.place.sallyport(['explain', '--policy', path, 'https://evil.example.com/x']);
  expect(refused).toMatchObject({ code: 1, stdout: expect.stringMatching(/^refused: [\s\S]*no-rule/) });
});

test('events schema prints the schema that the documents hold', async () => {
  const { code, stdout } = await stage.place.sallyport(['events', 'schema']);
  expect(code).toBe(0);
  expect(stdout).toBe(readFileSync('docs/reference/events.schema.json', 'utf8'));
});

test('the event log may be standard output, and then holds nothing but events', async () => {
  const { code, stdout, stderr } = await stage.run(
    [
      'sh',
      '-c',
      `curl -sS -o /dev/null -H "X-Key: $TOKEN" https://${NAME}/; curl -s https://no.example.test/; true`,
    ],
    { flags: ['--event-log', '-'], events: false },
  );
  expect(code).toBe(0);
  const events = stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line));
  expectInvariants(events);
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining([
      'gateway.started',
      'policy.loaded',
      'exec.started',
      'request.done',
      'exec.done',
      'gateway.closed',
    ]),
  );
  expect(`${stdout}${stderr}`).not.toContain(TOKEN);
});

test('--quiet says nothing', async () => {
  const loud = await stage.sh('curl -s https://no.example.test/; true', { events: false });
  expect(loud.stderr).toMatch(/refused to look up no\.example\.test[\s\S]*\d requests?, \d refused/);
  const quiet = await stage.sh('curl -s https://no.example.test/; true', {
    events: false,
    flags: ['--quiet'],
  });
  expect(quiet).toMatchObject({ code: 0, stderr: '' });
});

test('a busy run keeps the promises of the event stream', async () => {
  const { events } = await stage.sh(
    `for n in 1 2 3 4 5 6 7 8; do
       curl -sS -H "X-Key: $TOKEN" https://${NAME}/$n & curl -s https://no$n.example.test/ & curl -s http://10.0.0.$n/ &
       curl -sS -H "X-Key: $TOKEN" http://${NAME}/ & (printf 'GARBAGE\\r\\n\\r\\n' | openssl s_client -quiet -connect ${NAME}:443) >/dev/null 2>&1 &
     done; wait`,
  );
  expectInvariants(events);
  expect(facts(events, 'request.done')).toHaveLength(8);
  expect(facts(events, 'dns.refused').length).toBeGreaterThanOrEqual(8);
  expect(facts(events, 'request.refused').length).toBeGreaterThanOrEqual(16);
  expect(facts(events, 'secret.leak')).toHaveLength(8);
  expect(JSON.stringify(events)).not.toContain(TOKEN);
});

test('with an event log that can take no more, nothing leaves with a secret', async () => {
  const { code, stdout, stderr } = await stage.sh(
    `curl -sS -H "X-Key: $TOKEN" https://${NAME}/; curl -sS -H "X-Key: $TOKEN" https://${NAME}/`,
    { flags: ['--event-log', '/dev/full'], events: false },
  );
  expect(stderr).toMatch(/event log|\/dev\/full/);
  expect(code === 0 || code === 125).toBe(true);
  expect(stdout).toContain('EVENTS_FAILED');
});

test('an event log that cannot be opened stops the run before it begins', async () => {
  const { code, stderr } = await stage.sh('echo ran', {
    flags: ['--event-log', '/nonexistent/folder/events.jsonl'],
    events: false,
  });
  expect(code).toBe(125);
  expect(stderr).toMatch(/events\.jsonl/);
});

test('an event log of two runs holds both', async () => {
  const path = `${stage.place.dir}/both.jsonl`;
  for (const word of ['one', 'two'])
    await stage.sh(`echo ${word}`, { flags: ['--event-log', path], events: false });
  expect(readEvents(path).filter(({ type }) => type === 'exec.done')).toHaveLength(2);
});
