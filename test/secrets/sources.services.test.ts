/** Services of secrets, spoken to over TLS as their documentation says. */
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { systemClock } from '../../src/core/clock.js';
import { trustRoots } from '../../src/proxy/upstream/trust.js';
import { sha256 } from '../../src/secrets/signing/canonical.js';
import { emitAuthorization, parseAuthorization } from '../../src/secrets/signing/sigv4.js';
import { type Environment, Fetcher } from '../../src/secrets/sources/fetcher.js';
import { askOverTls } from '../../src/secrets/sources/https.js';
import type {
  AwsSecretSource,
  OAuth2Source,
  ValueSource,
  VaultSource,
} from '../../src/secrets/sources/source.js';
import { makeTestCa } from '../support/tls.js';
import { type Answer, ca, type Seen, type Server, startServer } from './corridor.js';

const VALUE = 'the-value-of-the-secret';
const KEY = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const ENV: Environment = {
  TOKEN: 'opens-the-vault',
  AKID: 'AKIDEXAMPLE',
  KEY,
  PASSWORD: 'p ä:ss+',
  FIRST: 'refresh-1',
};

let server: Server;
let answer: Answer = () => ({ body: '{}' });

beforeAll(async () => {
  server = await startServer([], seen => answer(seen));
});
afterAll(() => server.close());
beforeEach(() => {
  server.seen.length = 0;
});

const fetcher = (env: Environment = ENV, root = ca.rootPem, nowMs = systemClock.now()) =>
  new Fetcher({
    ...{ env, literals: new Map(), ask: askOverTls(trustRoots([root]).context) },
    clock: { now: () => nowMs },
  });
const spec = (valueFrom: ValueSource) => ({ name: 'S', valueFrom, placeholder: null, allowHttp: false });
const env = (name: string) => ({ kind: 'env', name }) as const;
const json = (value: unknown, status = 200) => ({ status, body: JSON.stringify(value) });

const vault = (more: Partial<VaultSource> = {}): VaultSource => ({
  ...{ kind: 'vault', address: server.origin, mount: 'secret', path: 'team/my app', field: 'token' },
  ...{ namespace: null, tokenFrom: env('TOKEN') },
  ...more,
});
const manager = (more: Partial<AwsSecretSource> = {}): AwsSecretSource => ({
  ...{ kind: 'aws_secrets_manager', region: 'eu-central-1', secretId: 'prod/db', field: null },
  ...{ endpoint: server.origin, accessKeyIdFrom: env('AKID'), secretAccessKeyFrom: env('KEY') },
  sessionTokenFrom: null,
  ...more,
});
const oauth2 = (more: Partial<OAuth2Source> = {}): OAuth2Source => ({
  ...{ kind: 'oauth2', tokenUrl: `${server.origin}/token`, grant: 'client_credentials', clientId: 'cl:ient' },
  ...{ clientSecretFrom: env('PASSWORD'), refreshTokenFrom: null, scope: 'read write' },
  ...more,
});

test('Vault is asked as its API says, with namespace and token, and gives the field', async () => {
  answer = () => json({ data: { data: { token: VALUE }, metadata: { version: 2 } } });
  const fetched = await fetcher().fetch(spec(vault({ namespace: 'org/team' })));
  expect(fetched).toEqual({ ok: true, value: { value: VALUE, lifeMs: null } });
  expect(server.seen[0]).toMatchObject({
    ...{ method: 'GET', url: '/v1/secret/data/team/my%20app' },
    headers: { 'x-vault-token': 'opens-the-vault', 'x-vault-namespace': 'org/team' },
  });
});

const leases: readonly (readonly [string, object, number | null])[] = [
  ['no lease', { lease_duration: 0 }, null],
  ['a lease', { lease_duration: 1800 }, 1_800_000],
  ['a version that is kept', { data: { data: { token: VALUE }, metadata: { deletion_time: '' } } }, null],
  [
    'a version that is to be deleted',
    { data: { data: { token: VALUE }, metadata: { deletion_time: '2026-01-01T00:10:00.123Z' } } },
    600_123,
  ],
  [
    'a lease that outlives its version',
    {
      lease_duration: 3600,
      data: { data: { token: VALUE }, metadata: { deletion_time: '2025-12-31T00:00:00Z' } },
    },
    1_000,
  ],
  ['a lease that is no number', { lease_duration: '60' }, null],
];
test.each(leases)("a value of Vault's with %s lives as long as that", async (_what, more, lifeMs) => {
  answer = () => json({ data: { data: { token: VALUE } }, ...more });
  const fetched = await fetcher(ENV, ca.rootPem, Date.UTC(2026, 0, 1)).fetch(spec(vault()));
  expect(fetched).toEqual({ ok: true, value: { value: VALUE, lifeMs } });
});

const rotations: readonly (readonly [string, object, number | null])[] = [
  ['does not rotate', { RotationEnabled: false, NextRotationDate: 1_767_225_700 }, null],
  ['says nothing of it', {}, null],
  ['rotates soon', { RotationEnabled: true, NextRotationDate: 1_767_225_600 + 300.5 }, 300_500],
  ['rotates in a month', { RotationEnabled: true, NextRotationDate: 1_769_904_000 }, 3_600_000],
  ['should have rotated', { RotationEnabled: true, NextRotationDate: 1_767_225_599 }, 60_000],
  ['rotates at no known time', { RotationEnabled: true }, 3_600_000],
];
test.each(rotations)(
  'a secret of AWS that %s is asked for again in time',
  async (_what, described, againMs) => {
    const isValue = ({ headers }: Seen) => headers['x-amz-target'] === 'secretsmanager.GetSecretValue';
    answer = seen => json(isValue(seen) ? { SecretString: VALUE } : described);
    const fetched = await fetcher(ENV, ca.rootPem, Date.UTC(2026, 0, 1)).fetch(spec(manager()));
    expect(fetched).toEqual({ ok: true, value: { value: VALUE, lifeMs: null, againMs } });
    expect(server.seen.map(signatureHolds)).toEqual([true, true]);
  },
);

test('who may read a secret of AWS need not be allowed to describe it', async () => {
  const isValue = ({ headers }: Seen) => headers['x-amz-target'] === 'secretsmanager.GetSecretValue';
  answer = seen =>
    isValue(seen) ? json({ SecretString: VALUE }) : json({ __type: 'AccessDeniedException' }, 400);
  expect(await fetcher().fetch(spec(manager()))).toMatchObject({ ok: true, value: { againMs: null } });
});

test('Secrets Manager is asked with a signature that holds, and gives the string or a key of its JSON', async () => {
  answer = () => json({ SecretString: JSON.stringify({ password: VALUE }) });
  const fetched = await fetcher().fetch(spec(manager({ field: 'password' })));
  expect(fetched).toMatchObject({ ok: true, value: { value: VALUE } });
  const [seen] = server.seen;
  expect(seen?.headers['x-amz-target']).toBe('secretsmanager.GetSecretValue');
  expect(JSON.parse(String(seen?.body))).toEqual({ SecretId: 'prod/db' });
  expect(seen && signatureHolds(seen)).toBe(true);
  answer = () => json({ SecretString: VALUE });
  expect(await fetcher().fetch(spec(manager()))).toMatchObject({ ok: true, value: { value: VALUE } });
});

function signatureHolds({ method, url, headers, body }: Seen): boolean {
  const field = String(headers.authorization);
  const parsed = parseAuthorization(field);
  if (!parsed.ok) return false;
  const all = Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
  const { scope, signed } = parsed.value;
  const date = String(headers['x-amz-date']);
  const made = emitAuthorization(
    { method, target: url, headers: all, signed, contentHash: sha256(body), date, scope },
    { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: KEY },
  );
  return made.ok && made.value === field && scope.service === 'secretsmanager';
}

test('client credentials go in Basic, form-encoded, and the token has the life that the server says', async () => {
  answer = () => json({ access_token: VALUE, token_type: 'Bearer', expires_in: 3600 });
  const fetched = await fetcher().fetch(spec(oauth2()));
  expect(fetched).toMatchObject({ ok: true, value: { value: VALUE, lifeMs: 3_600_000 } });
  const [seen] = server.seen;
  const basic = Buffer.from(String(seen?.headers.authorization).slice(6), 'base64').toString();
  expect(basic).toBe('cl%3Aient:p+%C3%A4%3Ass%2B');
  expect(String(seen?.body)).toBe('grant_type=client_credentials&scope=read+write');
});

test('a refresh token that the server replaces is used once, even by two who ask at the same time', async () => {
  let turn = 1;
  answer = ({ body }) => {
    if (new URLSearchParams(String(body)).get('refresh_token') !== `refresh-${turn}`)
      return json({ error: 'invalid_grant' }, 400);
    turn += 1;
    return json({ access_token: `${VALUE}-${turn}`, token_type: 'bearer', refresh_token: `refresh-${turn}` });
  };
  const source = spec(
    oauth2({ grant: 'refresh_token', refreshTokenFrom: env('FIRST'), clientSecretFrom: null, scope: null }),
  );
  const one = fetcher();
  const [first, second] = await Promise.all([one.fetch(source), one.fetch(source)]);
  const third = await one.fetch(source);
  expect([first, second, third].map(got => got.ok && got.value.value)).toEqual([
    `${VALUE}-2`,
    `${VALUE}-2`,
    `${VALUE}-3`,
  ]);
  expect(server.seen).toHaveLength(2);
  expect(String(server.seen[0]?.body)).toContain('client_id=cl%3Aient');
});

for (const [algorithm, key] of [
  ['ES256', generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey],
  ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
] as const) {
  test(`a JWT with ${algorithm} verifies, and lives as long as the policy says`, async () => {
    const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const claims = [['iss', '12345']] as const;
    const source = { kind: 'jwt', keyFrom: env('PEM'), algorithm, claims, ttlMs: 540_000 } as const;
    const fetched = await fetcher({ PEM: pem }).fetch(spec(source));
    if (!fetched.ok) throw new Error(fetched.error.message);
    const [head = '', payload = '', signature = ''] = fetched.value.value.split('.');
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
    expect(read(head)).toEqual({ alg: algorithm, typ: 'JWT' });
    const { iss, iat, exp } = read(payload);
    expect([iss, exp - iat]).toEqual(['12345', 600]);
    const verifier = { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' } as const;
    const bytes = Buffer.from(signature, 'base64url');
    expect(verify('sha256', Buffer.from(`${head}.${payload}`), verifier, bytes)).toBe(true);
    expect(fetched.value.lifeMs).toBe(540_000);
  });
}

const failures: readonly (readonly [string, () => ValueSource, Answer, boolean, RegExp])[] = [
  ['Vault has no such path', vault, () => json({ errors: [] }, 404), true, /^Vault answered 404$/],
  ['Vault refuses the token', vault, () => json({ errors: [VALUE] }, 403), true, /^Vault answered 403$/],
  ['Vault is sealed', vault, () => json({}, 503), false, /^Vault answered 503$/],
  ['Vault redirects', vault, () => json({}, 307), false, /^Vault answered 307$/],
  ['the version was deleted', vault, () => json({ data: { data: null } }), true, /no data there/],
  ['the field is not there', vault, () => json({ data: { data: { other: VALUE } } }), true, /no field token/],
  ['the field is an object', vault, () => json({ data: { data: { token: {} } } }), true, /not text/],
  ['the answer is no JSON', vault, () => ({ body: VALUE }), false, /did not answer with a JSON object/],
  ['the answer is too long', vault, () => ({ body: 'x'.repeat(2_000_000) }), false, /too much/],
  [
    'the token is not set',
    () => vault({ tokenFrom: env('NONE') }),
    () => json({}),
    true,
    /^token_from: .* NONE is not set$/,
  ],
  [
    'Secrets Manager has no such secret',
    manager,
    () => json({ __type: 'ResourceNotFoundException' }, 400),
    true,
    /400 ResourceNotFoundException$/,
  ],
  [
    'Secrets Manager throttles',
    manager,
    () => json({ __type: 'ThrottlingException' }, 400),
    false,
    /Throttling/,
  ],
  ['the secret is binary', manager, () => json({ SecretBinary: 'AA==' }), true, /binary/],
  [
    'the grant was revoked',
    oauth2,
    () => json({ error: 'invalid_grant', error_description: VALUE }, 400),
    true,
    /refused \(invalid_grant\)$/,
  ],
  ['the client is refused', oauth2, () => json({ error: 'invalid_client' }, 401), true, /answered 401$/],
  [
    'the token is no bearer token',
    oauth2,
    () => json({ access_token: VALUE, token_type: 'mac' }),
    false,
    /not a bearer/,
  ],
  ['there is no token', oauth2, () => json({ token_type: 'bearer' }), false, /no access_token/],
];
for (const [name, source, how, gone, want] of failures) {
  test(`when ${name}, the message says so and never holds what came`, async () => {
    answer = how;
    const fetched = await fetcher().fetch(spec(source()));
    expect(fetched).toEqual({ ok: false, error: { gone, message: expect.stringMatching(want) } });
    expect(JSON.stringify(fetched)).not.toContain(VALUE);
  });
}

test('a service whose certificate nobody vouches for is told nothing', async () => {
  const fetched = await fetcher(ENV, makeTestCa().rootPem).fetch(spec(vault()));
  expect(fetched).toMatchObject({ ok: false, error: { gone: false } });
  expect(server.seen).toEqual([]);
});

test('a service whose certificate names another host is told nothing', async () => {
  const fetched = await fetcher().fetch(
    spec(vault({ address: server.origin.replace('localhost', '127.0.0.1') })),
  );
  expect(fetched).toMatchObject({ ok: false, error: { message: expect.stringMatching(/WRONG_NAME/) } });
  expect(server.seen).toEqual([]);
});
