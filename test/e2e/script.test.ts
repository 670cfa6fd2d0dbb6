/** An agent with a budget: real curl and Python in a real sandbox, against a server that answers as an LLM API does. */
import { join } from 'node:path';
import { bodyOf, expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.llm.test';
const KEY = 'sk-real-key-of-the-agent-0123456789';
const stage = new Stage();
const seenKeys: (string | undefined)[] = [];

beforeAll(async () => {
  await stage.https(
    NAME,
    (request, response) => {
      void bodyOf(request).then(body => {
        seenKeys.push(request.headers.authorization);
        const { stream, tokens } = JSON.parse(body.toString()) as { stream?: boolean; tokens: number };
        if (stream !== true) {
          response.writeHead(200, { 'Content-Type': 'application/json' });
          response.end(
            JSON.stringify({ content: 'hello', usage: { input_tokens: 1_000, output_tokens: tokens } }),
          );
          return;
        }
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write(
          `event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1000}}}\n\n`,
        );
        for (let i = 0; i < 5; i++)
          response.write(`data: {"type":"content_block_delta","delta":{"text":"word ${i}"}}\n\n`);
        response.end(
          `data: {"type":"message_delta","usage":{"output_tokens":${tokens}}}\n\ndata: [DONE]\n\n`,
        );
      });
    },
    { denied: true },
  );
  stage.env.LLM_KEY = KEY;
});
afterAll(() => stage.close());

const policy = (script: string): string =>
  stage.place.file(
    'policy.yaml',
    JSON.stringify({
      allow_domain: [{ domain: NAME, script_body: '1MiB' }],
      secrets: { LLM_KEY: { hosts: [NAME] } },
      policy_script: script,
      // Of the test's machine, not of the script: both cores may be busy elsewhere.
      script: { timeout_ms: 2_000 },
    }),
  );

const SESSION = `
ask() { curl -sS -H "Authorization: Bearer $LLM_KEY" -d "$1" https://${NAME}/v1/messages; echo; }
ask '{"tokens": 40000}'
python3 - <<'END'
import json, os, urllib.request
request = urllib.request.Request("https://${NAME}/v1/messages", data=json.dumps({"stream": True, "tokens": 60000}).encode(),
  headers={"Authorization": "Bearer " + os.environ["LLM_KEY"], "Content-Type": "application/json"})
with urllib.request.urlopen(request) as response:
    events = [line for line in response if line.startswith(b"data: ")]
print("python saw", len(events), "events, the last", events[-1].decode().strip())
END
ask '{"tokens": 1}'
`;

test('a session spends its budget, in answers and in streams, and is then refused', async () => {
  const script = join(process.cwd(), 'policies', 'scripts', 'spend-budget.js');
  const { stdout, stderr, events } = await stage.sh(SESSION, { flags: ['--policy', policy(script)] });
  const [first, second, third] = stdout.trim().split('\n');
  expect(first).toContain('"output_tokens":40000');
  expect(second).toBe('python saw 8 events, the last data: [DONE]');
  expect(JSON.parse(third ?? '')).toMatchObject({
    error: 'ErrBlocked',
    reason: 'script',
    hint: 'the budget of 100000 tokens is spent (102000)',
  });
  expect(stderr).toMatch(
    /refused POST https:\/\/api\.llm\.test\/v1\/messages \(script\): the budget of 100000 tokens/,
  );
  expect(seenKeys).toEqual([`Bearer ${KEY}`, `Bearer ${KEY}`]);
  expect(JSON.stringify(events)).not.toContain(KEY);
  const logged = events.filter(({ type }) => type === 'script.log').map(({ gateway }) => gateway?.message);
  expect(logged).toEqual([
    '41000 tokens, 41000 of 100000',
    '1000 tokens, 42000 of 100000',
    '60000 tokens, 102000 of 100000',
  ]);
  expect(facts(events, 'request.done').map(({ status_code }) => status_code)).toEqual([200, 200]);
  expect(facts(events, 'request.refused')).toMatchObject([
    { reason: 'script', rule: 'policy_script', status_code: 403 },
  ]);
  expectInvariants(events);
});

test('a script that runs away is one event with its reason, and the next request is answered', async () => {
  const script = stage.place.file(
    'runaway.js',
    "export function onRequest({ path }) { if (path === '/loop') for (;;); return { allow: true }; }",
  );
  const session = `for path in loop fine; do curl -sS -o /dev/null -w '%{http_code}\\n' -d '{"tokens": 1}' https://${NAME}/$path; done`;
  const { stdout, events } = await stage.sh(session, { flags: ['--policy', policy(script)] });
  expect(stdout).toBe('403\n200\n');
  expect(facts(events, 'request.refused')).toMatchObject([
    {
      reason: 'script-timeout',
      rule: 'policy_script',
      block_reason: expect.stringMatching(/ran longer than 2000 ms/),
    },
  ]);
});

test('a script that does not load is a clear message, and nothing runs', async () => {
  const script = stage.place.file(
    'broken.ts',
    'export function onRequest(request: Request) {\n  return { allow: tru };\n',
  );
  const { code, stderr, stdout } = await stage.place.sallyport([
    'run',
    '--script',
    script,
    '--',
    'echo',
    'ran',
  ]);
  expect(stderr).toMatch(/broken\.ts:\d+:\d+: /);
  expect(stdout).toBe('');
  expect(code).toBe(125);
});

test('sallyport script test runs examples from the command line', async () => {
  const script = stage.place.file('p.js', "export const onRequest = () => ({ deny: 'never' });");
  stage.place.file('p.test.js', "example({ url: 'https://a.test/' }).denies('never');");
  const { code, stdout } = await stage.place.sallyport(['script', 'test', script]);
  expect(stdout).toMatch(/1 of 1 examples as expected/);
  expect(code).toBe(0);
});
