/** Real clients, each with nothing set by its user: they trust the gateway, and hold a placeholder. */
import type http from 'node:http';
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const TOKEN = 'sk-real-value/0123456789+abcdef';
const stage = new Stage();
let seen: { readonly protocol: string; readonly authorization: string | undefined }[] = [];

beforeAll(async () => {
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    seen.push({ protocol: request.httpVersion, authorization: request.headers.authorization });
    response.setHeader('Content-Type', 'text/plain');
    response.end(`hello over ${request.httpVersion}\n`);
  };
  await stage.http2(NAME, answer);
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
});
afterAll(() => stage.close());
beforeEach(() => {
  seen = [];
});

const PYTHON = '/usr/bin/python3 -c';
const NODE_FETCH = `node -e '
  fetch("https://${NAME}/node", { headers: { authorization: "Bearer " + process.env.TOKEN } })
    .then(answer => answer.text()).then(console.log)'`;

test.each([
  ['curl', `curl -sS -H "Authorization: Bearer $TOKEN" https://${NAME}/`],
  ['wget', `wget -q -O - --header "Authorization: Bearer $TOKEN" https://${NAME}/`],
  [
    'Python urllib',
    `${PYTHON} 'import os, urllib.request as u
print(u.urlopen(u.Request("https://${NAME}/", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})).read().decode())'`,
  ],
  [
    'Python requests',
    `${PYTHON} 'import os, requests
print(requests.get("https://${NAME}/", headers={"Authorization": "Bearer " + os.environ["TOKEN"]}).text)'`,
  ],
  ['Node fetch', NODE_FETCH],
])('%s trusts the gateway and its request carries the value', async (_client, script) => {
  const { code, stdout, stderr, events } = await stage.sh(script);
  expect(stderr).not.toMatch(/error|certificate/i);
  expect(stdout).toContain('hello over');
  expect(code).toBe(0);
  expect(seen).toMatchObject([{ authorization: `Bearer ${TOKEN}` }]);
  expect(JSON.stringify(events)).not.toContain(TOKEN);
  expectInvariants(events);
});

test('Python httpx speaks HTTP/2 with the gateway, and the gateway with the upstream', async () => {
  const script = `${PYTHON} 'import os, httpx
with httpx.Client(http2=True) as client:
  for path in ("/1", "/2"):
    answer = client.get("https://${NAME}" + path, headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
    print(answer.http_version, answer.text)'`;
  const { code, stdout, events } = await stage.sh(script);
  expect(stdout).toBe('HTTP/2 hello over 2.0\n\nHTTP/2 hello over 2.0\n\n');
  expect(code).toBe(0);
  expect(seen.map(({ authorization }) => authorization)).toEqual([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`]);
  expect(facts(events, 'request.done').map(({ protocol }) => protocol)).toEqual(['h2', 'h2']);
  expect(facts(events, 'flow.closed')).toHaveLength(1);
  expectInvariants(events);
});

test('openssl verifies the chain and the name, by the default trust store', async () => {
  const { code, stdout } = await stage.sh(
    `openssl s_client -verify_return_error -verify_hostname ${NAME} -connect ${NAME}:443 </dev/null 2>&1`,
  );
  expect(stdout).toContain('Verify return code: 0 (ok)');
  expect(stdout).toMatch(/issuer=.*Sallyport/);
  expect(code).toBe(0);
});
