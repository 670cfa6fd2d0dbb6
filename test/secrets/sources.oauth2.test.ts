/** Tokens from an authorization server that is none of ours: it knows its client, and takes a refresh token once. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { askOverTls } from '../../src/secrets/sources/https.js';
import { issue } from '../support/tls.js';
import { Corridor, ca, type Server, startServer } from './corridor.js';

const CLIENT = { clientId: 'cl:ient', clientSecret: 'a secret %:+ of the client' };
const ask = askOverTls(trustRoots([ca.rootPem]).context);

let issuer: ChildProcess;
let origin = '';
let refreshToken = '';
let upstream: Server;
let corridor: Corridor;

beforeAll(async () => {
  upstream = await startServer(['api.test'], () => ({ body: 'ok' }));
});
afterAll(() => upstream.close());

beforeEach(async () => {
  issuer = spawn(process.execPath, [join(__dirname, '..', 'support', 'authorization-server.mjs')], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const { keyPem, certPem } = issue(ca, { names: ['localhost'] });
  issuer.stdin?.write(`${JSON.stringify({ keyPem, certPem, ...CLIENT, lifeSeconds: 4 })}\n`);
  const lines = createInterface({ input: issuer.stdout ?? process.stdin });
  const [line] = (await once(lines, 'line')) as [string];
  const { port, refreshToken: first } = JSON.parse(line) as { port: number; refreshToken: string };
  origin = `https://localhost:${port}`;
  refreshToken = first;
  upstream.seen.length = 0;
});
afterEach(async () => {
  await corridor?.close();
  issuer.stdin?.end();
  if (issuer.exitCode === null) await once(issuer, 'exit');
});

async function open(grant: string, more: object = {}, secret = CLIENT.clientSecret): Promise<void> {
  const source = { token_url: `${origin}/token`, grant, client_id: CLIENT.clientId, ...more };
  const oauth2 = { ...source, client_secret_from: { env: 'CLIENT_SECRET' } };
  corridor = new Corridor({ CLIENT_SECRET: secret, FIRST: refreshToken });
  await corridor.open(
    { allow_domain: ['api.test'], secrets: { T: { hosts: ['api.test'], value_from: { oauth2 } } } },
    upstream,
  );
}

/** The bearer token with which a request of the sandbox arrives. */
async function bearer(): Promise<string> {
  const headers = { authorization: `Bearer ${corridor.placeholder('T')}` };
  expect((await corridor.send('api.test', { headers })).status).toBe(200);
  return String(upstream.seen.at(-1)?.headers.authorization).slice('Bearer '.length);
}

/** What the server itself says of a token (RFC 7662), or of anything else it is asked. */
async function asked(path: string, form: Record<string, string>): Promise<Record<string, unknown>> {
  const part = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);
  const pair = `${part(CLIENT.clientId)}:${part(CLIENT.clientSecret)}`;
  const headers = new Map([
    ['content-type', 'application/x-www-form-urlencoded'],
    ['authorization', `Basic ${Buffer.from(pair).toString('base64')}`],
  ]);
  const body = new URLSearchParams(form).toString();
  const answer = await ask({ method: 'POST', url: origin + path, headers, body });
  return answer.ok ? JSON.parse(answer.value.body) : {};
}

async function next(before: string): Promise<string> {
  for (let tries = 0; tries < 400; tries++) {
    const token = await bearer();
    if (token !== before) return token;
    await delay(25);
  }
  throw new Error('the token is not renewed');
}

test('client credentials: the upstream gets a token that the server vouches for, and the next one in time', async () => {
  await open('client_credentials', { scope: 'read write' });
  const first = await bearer();
  expect(await asked('/token/introspection', { token: first })).toMatchObject({
    ...{ active: true, client_id: CLIENT.clientId, scope: 'read write', token_type: 'Bearer' },
  });
  const second = await next(first);
  expect(await asked('/token/introspection', { token: second })).toMatchObject({ active: true });
  expect(JSON.stringify(corridor.events)).not.toContain(first);
});

test('a refresh token: each that the server gives is used once, and the chain holds', async () => {
  await open('refresh_token', { refresh_token_from: { env: 'FIRST' } });
  const first = await bearer();
  expect(await asked('/token/introspection', { token: first })).toMatchObject({ active: true, sub: 'user' });
  const second = await next(first);
  const third = await next(second);
  expect(await asked('/token/introspection', { token: third })).toMatchObject({ active: true, sub: 'user' });
  // The configured one was used up by the first request: whoever uses it again is a thief, and ends the grant.
  const stolen = { grant_type: 'refresh_token', refresh_token: refreshToken };
  expect(await asked('/token', stolen)).toMatchObject({ error: 'invalid_grant' });
  expect(await asked('/token/introspection', { token: third })).toMatchObject({ active: false });
  const headers = { authorization: `Bearer ${corridor.placeholder('T')}` };
  for (let tries = 0; tries < 400; tries++) {
    if ((await corridor.send('api.test', { headers })).status === 502) break;
    await delay(25);
  }
  const lost = corridor.events.find(({ type }) => type === 'secret.lost');
  expect(lost?.gateway?.detail).toEqual(['the token endpoint refused (invalid_grant)']);
});

test.each([
  ['a client that the server does not know', { client_id: 'another' }, undefined, /answered 401$/],
  ['a wrong secret', {}, 'not the secret', /answered 401$/],
  ['a scope that it does not give', { scope: 'admin' }, undefined, /refused \(invalid_scope\)$/],
])('%s is an error at start that says what the server said', async (_what, more, secret, message) => {
  await expect(open('client_credentials', more, secret)).rejects.toMatchObject({
    code: 'SECRET_UNAVAILABLE',
    message: expect.stringMatching(message),
  });
});
