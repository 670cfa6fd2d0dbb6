/** Scripts in whole gateways: what the upstream sees, what the sandbox gets, what goes on record. */
import type { Event } from '../../src/events/event.js';
import { HOST, openScriptBench, type ScriptBench } from '../support/script-bench.js';

let bench: ScriptBench;
beforeAll(async () => {
  bench = await openScriptBench(undefined, {
    policy: {
      allow_domain: [
        { domain: HOST, paths: ['/**'] },
        { domain: 'body.allowed.test', script_body: '1KiB' },
      ],
      deny_domain: [{ domain: HOST, paths: ['/private/**'] }],
      secrets: { TOKEN: { hosts: [HOST], allow_http: true } },
    },
    env: { TOKEN: 'the-real-value-of-the-token' },
  });
});
afterAll(async () => await bench[Symbol.asyncDispose]());
beforeEach(() => bench.clear());

const onRequest = (code: string): string => `export function onRequest(request) { ${code} }`;
const only = (type: Event['type']) =>
  bench.events.filter(event => event.type === type).map(event => event.network);

/** Events come soon after, not at once. */
async function eventually<T>(find: () => T | undefined): Promise<T | undefined> {
  for (let i = 0; i < 100 && find() === undefined; i++) await new Promise(resolve => setTimeout(resolve, 20));
  return find();
}

test('a denial is a readable 403 with the reason of the script, one event, and nothing is sent', async () => {
  await bench.script(onRequest("return { deny: 'not on a Sunday' };"));
  const seen = await bench.ask('/a');
  expect(seen).toMatchObject({ status: 403, reason: 'script' });
  expect(seen.body).toContain('not on a Sunday');
  expect(bench.plain.requests).toHaveLength(0);
  expect(await eventually(() => only('request.refused')[0])).toMatchObject({
    reason: 'script',
    rule: 'policy_script',
    block_reason: 'not on a Sunday',
    blocked: true,
  });
});

test('what went wrong in a script is for the operator alone', async () => {
  await bench.script(onRequest("throw new Error('in the vault');"));
  const seen = await bench.ask('/a');
  expect(seen).toMatchObject({ status: 403, reason: 'script-error' });
  expect(seen.body).not.toContain('vault');
  const event = await eventually(() => only('request.refused')[0]);
  expect(event?.block_reason).toMatch(/onRequest: Error: in the vault \(policy\.js:1:\d+\)/);
});

test('a rewrite changes headers, path and query, and nothing else', async () => {
  await bench.script(
    onRequest(
      "return { rewrite: { headers: { 'X-Added': 'yes', 'x-gone': null, 'X-Many': ['1', '2'] }, path: '/new', query: 'q=1' } };",
    ),
  );
  const seen = await bench.ask('/old?x=2', { headers: ['X-Gone: 1', 'X-Kept: 1'] });
  expect(seen.status).toBe(200);
  const [request] = bench.plain.requests;
  expect(request).toMatchObject({ target: '/new?q=1', host: HOST });
  const names = request?.headers.map(([name, value]) => `${name}: ${value}`);
  expect(names).toEqual(expect.arrayContaining(['X-Added: yes', 'X-Many: 1', 'X-Many: 2', 'X-Kept: 1']));
  expect(names?.join()).not.toContain('Gone');
});

test('what a script rewrites is decided again', async () => {
  await bench.script(onRequest("return { rewrite: { path: '/private/x' } };"));
  expect(await bench.ask('/public')).toMatchObject({ status: 403, reason: 'deny-rule' });
  expect(bench.plain.requests).toHaveLength(0);
});

test.each([
  ['Host', "{ headers: { Host: 'evil.test' } }"],
  ['Content-Length', "{ headers: { 'content-length': '5' } }"],
  ['Transfer-Encoding', "{ headers: { 'Transfer-Encoding': 'chunked' } }"],
  ['Connection', "{ headers: { Connection: 'x' } }"],
  ['Upgrade', "{ headers: { upgrade: 'h2c' } }"],
  ['a handshake', "{ headers: { 'Sec-WebSocket-Key': 'x' } }"],
  ['a name with a colon', "{ headers: { ':path': '/x' } }"],
  ['an empty name', "{ headers: { '': 'x' } }"],
  ['a name with a line end', "{ headers: { 'a\\r\\nb': 'x' } }"],
  ['a value with a line end', "{ headers: { a: 'b\\r\\nc: d' } }"],
  ['a value with NUL', "{ headers: { a: 'b\\0' } }"],
  ['a value that would become a line end', "{ headers: { a: '\\u010a' } }"],
  ['a path with a line end', "{ path: '/a HTTP/1.1\\r\\nX: y' }"],
  ['a path with a blank', "{ path: '/a b' }"],
  ['a path of another host', "{ path: '//evil.test/' }"],
  ['an absolute path', "{ path: 'http://evil.test/' }"],
  ['a path with a query', "{ path: '/a?b' }"],
  ['a query with a fragment', "{ query: 'a#b' }"],
  ['a method', "{ method: 'POST' }"],
  ['a host', "{ host: '169.254.169.254' }"],
])('a rewrite cannot give %s', async (_what, rewrite) => {
  await bench.script(onRequest(`return { rewrite: ${rewrite} };`));
  expect(await bench.ask('/a')).toMatchObject({ status: 403, reason: 'script-error' });
  expect(bench.plain.requests).toHaveLength(0);
});

test('an answer of the script is framed by the gateway', async () => {
  await bench.script(
    onRequest(
      "return { respond: { status: 418, headers: { 'X-A': 'b', 'Content-Length': '99' }, body: 'tea\\u00e9' } };",
    ),
  );
  const seen = await bench.ask('/a');
  expect(seen).toMatchObject({ status: 418, body: 'teaé' });
  expect(seen.headers.get('content-length')).toBe('5');
  expect(seen.headers.get('x-a')).toBe('b');
  expect(bench.plain.requests).toHaveLength(0);
  expect(await eventually(() => only('request.done')[0])).toMatchObject({
    status_code: 418,
    destination: null,
  });
});

test.each([
  ["{ headers: { 'Transfer-Encoding': 'chunked' }, body: 'x' }"],
  ["{ headers: { a: 'b\\nc' } }"],
  ['{ status: 101 }'],
])('an answer of the script cannot be %s', async respond => {
  await bench.script(onRequest(`return { respond: ${respond} };`));
  expect(await bench.ask('/a')).toMatchObject({ status: 403, reason: 'script-error' });
});

test('a script sees the placeholder, and the upstream gets the value', async () => {
  await bench.script(onRequest('log(request.headers.authorization); return { allow: true };'));
  const { TOKEN = '' } = bench.gateway.admit('other').environment({ TOKEN: 'the-real-value-of-the-token' });
  await bench.ask('/a', { sandbox: 'asks', headers: [`Authorization: Bearer ${TOKEN}`] });
  const log = await eventually(() => bench.events.find(({ type }) => type === 'script.log'));
  expect(log?.gateway?.message).toMatch(/^Bearer GWPH_/);
  expect(JSON.stringify(bench.events)).not.toContain('real-value');
});

test('a content is shown where the rule asks for it, and only there', async () => {
  await bench.script(
    onRequest('return { respond: { body: JSON.stringify([request.body ?? null, request.bodyBytes]) } };'),
  );
  expect((await bench.ask('/a', { method: 'POST', body: 'secret' })).body).toBe('[null,6]');
  const host = 'body.allowed.test';
  expect((await bench.ask('/a', { method: 'POST', body: 'shown é', host })).body).toBe('["shown é",8]');
  expect((await bench.ask('/a', { host })).body).toBe('["",0]');
});

test('a content that was shown goes on whole', async () => {
  await bench.script(onRequest('return { allow: true };'));
  const host = 'body.allowed.test';
  await bench.ask('/a', { method: 'POST', body: 'all of it', host });
  expect(bench.plain.requests[0]?.body.toString()).toBe('all of it');
});

test.each([
  ['too long', 413, 'x'.repeat(1_025), []],
  ['coded', 415, 'x', ['Content-Encoding: gzip']],
])('a content that is %s cannot be shown, and does not pass', async (_what, status, body, headers) => {
  await bench.script(onRequest('return { allow: true };'));
  const seen = await bench.ask('/a', { method: 'POST', body, headers, host: 'body.allowed.test' });
  expect(seen).toMatchObject({ status, reason: 'script-body' });
  expect(bench.plain.requests).toHaveLength(0);
});

test('onResponse may refuse an answer, rewrite its fields, and see its content', async () => {
  await bench.script(`export function onResponse(response) {
    if (response.request.path === '/deny') return { deny: 'status ' + response.status };
    if (response.request.path === '/bad') return { rewrite: { headers: { 'Content-Length': '1' } } };
    return { rewrite: { headers: { 'X-Body': String(response.body), Date: null } } };
  }`);
  expect((await bench.ask('/x', { host: 'body.allowed.test' })).headers.get('x-body')).toBe('ok');
  const seen = await bench.ask('/x');
  expect(seen.headers.get('x-body')).toBe('undefined');
  expect(seen.headers.has('date')).toBe(false);
  expect(seen.body).toBe('ok');
  expect(await bench.ask('/deny')).toMatchObject({ status: 403, reason: 'script' });
  expect(await bench.ask('/bad')).toMatchObject({ status: 403, reason: 'script-error' });
  expect(only('request.refused')).toHaveLength(2);
});

test('onConnect is asked before anything is let in', async () => {
  await bench.script(`export function onConnect({ host, address, port }) {
    return host === '${HOST}' && port === 80 ? { deny: 'no ' + address } : { allow: true };
  }`);
  expect((await bench.ask('/a')).status).toBe(0);
  expect(await eventually(() => only('flow.refused')[0])).toMatchObject({
    reason: 'script',
    block_reason: 'no 198.18.0.1',
  });
  expect(bench.plain.connections).toBe(0);
});

test('onTls is asked about the name and the protocols', async () => {
  await bench.script(`export function onTls({ sni, alpn }) { return { deny: sni + ' ' + alpn }; }`);
  await expect(bench.connectTls({ host: HOST, port: 443 }, { alpn: ['http/1.1'] })).rejects.toThrow();
  expect(await eventually(() => only('tls.refused')[0])).toMatchObject({
    reason: 'script',
    block_reason: `${HOST} http/1.1`,
  });
});

test('onEvent writes beside an event, keeps their order, and cannot lose one', async () => {
  await bench.script(`export function onEvent({ type, network }) {
    if (network.url.endsWith('/fails')) throw new Error('no');
    if (type === 'request.done') return { annotate: ['seen ' + network.url] };
  }`);
  await bench.ask('/fails', { sandbox: 'e' });
  await bench.ask('/a', { sandbox: 'e' });
  const done = await eventually(() => only('request.done').find(event => event?.url.endsWith('/a')));
  expect(done?.annotations).toEqual([`seen http://${HOST}/a`]);
  const types = bench.events.filter(({ sandbox }) => sandbox === 'e').map(({ type }) => type);
  expect(types.filter(type => type === 'script.failed')).toHaveLength(1);
  expect(types.filter(type => type === 'request.done')).toHaveLength(2);
  expect(types.indexOf('flow.opened')).toBeLessThan(types.indexOf('request.done'));
});

test('a reload that does not load leaves the script as it was, and the state goes over a reload', async () => {
  await bench.script(onRequest('state.n = (state.n ?? 0) + 1; return { deny: String(state.n) };'));
  const asked = async () =>
    (JSON.parse((await bench.ask('/', { sandbox: 'r' })).body) as { hint: string }).hint;
  expect(await asked()).toBe('1');
  await expect(bench.script('export function onRequest( {')).rejects.toThrow(/policy\.js:1:\d+: SyntaxError/);
  expect(await asked()).toBe('2');
  await bench.script(onRequest("state.n += 10; return { deny: 'now ' + state.n };"));
  expect(await asked()).toBe('now 12');
});

test('a runaway script is one event with its reason, and another sandbox goes on', async () => {
  const quick = await openScriptBench(
    onRequest("if (request.path === '/loop') for (;;); return { allow: true };"),
    {
      timeoutMs: 60,
    },
  );
  const [bad, good] = await Promise.all([
    quick.ask('/loop', { sandbox: 'bad' }),
    quick.ask('/fine', { sandbox: 'good' }),
  ]);
  expect(bad).toMatchObject({ status: 403, reason: 'script-timeout' });
  expect(good.status).toBe(200);
  const refused = quick.events.filter(({ type }) => type === 'request.refused');
  expect(refused.map(({ sandbox, network }) => [sandbox, network?.reason])).toEqual([
    ['bad', 'script-timeout'],
  ]);
  await quick[Symbol.asyncDispose]();
});
