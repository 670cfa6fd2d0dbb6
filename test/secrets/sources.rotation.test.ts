/** Values that change while the gateway runs. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lifeOf, renewalDelay, retryDelay } from '../../src/secrets/sources/schedule.js';
import { Corridor, type Server, startServer } from './corridor.js';

let folder = '';
let server: Server;
let corridor: Corridor;
/** What the token endpoint says next; null: it is down. */
let token: { readonly value: string; readonly seconds: number } | null = null;

beforeAll(async () => {
  server = await startServer(['api.test'], ({ url }) => {
    if (url !== '/token' && !url.startsWith('/v1/')) return { body: 'ok' };
    if (token === null) return { status: 503, body: '' };
    const { value, seconds } = token;
    if (url !== '/token')
      return { body: JSON.stringify({ lease_duration: seconds, data: { data: { value } } }) };
    return { body: JSON.stringify({ access_token: value, token_type: 'Bearer', expires_in: seconds }) };
  });
});
afterAll(() => server.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-rotation-'));
  server.seen.length = 0;
});
afterEach(async () => {
  await corridor.close();
  await rm(folder, { recursive: true });
});

async function open(valueFrom: object, more: object = {}): Promise<void> {
  corridor = await new Corridor({ PASSWORD: 'client-secret' }).open(
    { allow_domain: ['api.test'], secrets: { T: { hosts: ['api.test'], value_from: valueFrom, ...more } } },
    server,
  );
}

/** What the upstream sees of a request with the placeholder: the value, or the status of a refusal. */
async function seenValue(): Promise<string | number> {
  const before = server.seen.length;
  const { status } = await corridor.send('api.test', { headers: { 'x-key': corridor.placeholder('T') } });
  const seen = server.seen.slice(before).find(({ url }) => url === '/');
  return seen === undefined ? status : String(seen.headers['x-key']);
}

/** Resolves when requests are seen so; there is no other way to learn it than to ask. */
async function until(want: string | number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if ((await seenValue()) === want) return;
    await delay(25);
  }
  expect(await seenValue()).toBe(want);
}

const types = (): string[] =>
  corridor.events.map(({ type }) => type).filter(type => /^secret\.(rot|lost)/.test(type));

test('a file that is renamed over gives the next request its value', async () => {
  const path = join(folder, 'token');
  await writeFile(path, 'first-value');
  await open({ file: path });
  expect(await seenValue()).toBe('first-value');
  await writeFile(`${path}.new`, 'second-value\n');
  await rename(`${path}.new`, path);
  await until('second-value');
  expect(types()).toEqual(['secret.rotated']);
  expect(JSON.stringify(corridor.events)).not.toMatch(/first-value|second-value/);
});

test('a folder that is swapped by a symbolic link, as Kubernetes does, gives the next request its value', async () => {
  for (const version of ['1', '2']) {
    await mkdir(join(folder, `..${version}`));
    await writeFile(join(folder, `..${version}`, 'token'), `value-number-${version}`);
  }
  await symlink('..1', join(folder, '..data'));
  await symlink('..data/token', join(folder, 'token'));
  await open({ file: join(folder, 'token') });
  expect(await seenValue()).toBe('value-number-1');
  await symlink('..2', join(folder, '..data_tmp'));
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  await until('value-number-2');
});

test('a file that is emptied or removed blocks, and its return is noticed', async () => {
  const path = join(folder, 'token');
  await writeFile(path, 'first-value');
  await open({ file: path });
  await rm(path);
  await until(502);
  const answer = await corridor.send('api.test', { headers: { 'x-key': corridor.placeholder('T') } });
  expect(JSON.parse(answer.body)).toMatchObject({ error: 'SECRET_UNAVAILABLE' });
  await writeFile(path, 'third-value');
  await until('third-value');
  await writeFile(path, '');
  await until(502);
  expect(types()).toEqual(['secret.lost', 'secret.rotated', 'secret.lost']);
});

test('a command is asked again as often as refresh says', async () => {
  const path = join(folder, 'printed');
  await writeFile(path, 'first-value');
  await open({ command: ['cat', path] }, { refresh: '1s' });
  expect(await seenValue()).toBe('first-value');
  await writeFile(path, 'second-value');
  await until('second-value');
});

test('a token is renewed before it ends; when it cannot be, requests say so once it has ended', async () => {
  token = { value: 'token-number-1', seconds: 2 };
  await open({
    oauth2: {
      ...{ token_url: `${server.origin}/token`, grant: 'client_credentials', client_id: 'me' },
      client_secret_from: { env: 'PASSWORD' },
    },
  });
  expect(await seenValue()).toBe('token-number-1');
  token = { value: 'token-number-2', seconds: 2 };
  await until('token-number-2');
  token = null;
  await until(502);
  token = { value: 'token-number-3', seconds: 3600 };
  await until('token-number-3');
  await corridor.gateway.close();
  const refused = corridor.events.filter(({ network }) => network?.reason === 'SECRET_UNAVAILABLE');
  expect(refused[0]?.network?.block_reason).toMatch(/^secret T: the token endpoint answered 503$/);
  expect(JSON.stringify(corridor.events)).not.toMatch(/token-number|client-secret/);
});

test('a lease of a vault is renewed before it ends', async () => {
  token = { value: 'leased-value-1', seconds: 2 };
  await open({
    vault: { address: server.origin, path: 'db', field: 'value', token_from: { env: 'PASSWORD' } },
  });
  expect(await seenValue()).toBe('leased-value-1');
  token = { value: 'leased-value-2', seconds: 3600 };
  await until('leased-value-2');
  expect(types()).toEqual(['secret.rotated']);
});

test('a source that gives nothing at start is an error that names the secret', async () => {
  token = null;
  const source = { token_url: `${server.origin}/token`, grant: 'client_credentials', client_id: 'me' };
  const opened = open({ oauth2: { ...source, client_secret_from: { env: 'PASSWORD' } } });
  await expect(opened).rejects.toMatchObject({
    code: 'SECRET_UNAVAILABLE',
    message: 'secret T: the token endpoint answered 503',
  });
  corridor = new Corridor();
});

const delays: readonly (readonly [number | null, number | null, number | null, number | null])[] = [
  [null, null, null, null],
  [300_000, null, null, 300_000],
  [null, 3_600_000, null, 3_540_000],
  [null, 100_000, null, 50_000],
  [10_000, 3_600_000, null, 10_000],
  [null, null, 60_000, 60_000],
  [10_000, null, 60_000, 10_000],
];
for (const [refresh, life, again, want] of delays) {
  test(`with refresh ${refresh}, a life of ${life} and news in ${again}, a value is asked for again after ${want} ms`, () => {
    expect(renewalDelay(refresh, life, again)).toBe(want);
  });
}

test('a value whose source is silent outlives three turns, and a token not its end', () => {
  expect([lifeOf(1_000, null), lifeOf(1_000, 500), lifeOf(null, null)]).toEqual([3_000, 500, null]);
  expect([retryDelay(1, null), retryDelay(4, null), retryDelay(40, null)]).toEqual([1_000, 8_000, 60_000]);
  expect([retryDelay(4, 10), retryDelay(4, 0)]).toEqual([10, 8_000]);
});
