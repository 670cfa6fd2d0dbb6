/** Requests that a sandbox signs with placeholders, through a whole gateway. */
import { createHmac } from 'node:crypto';
import { sha256 } from '../../../src/secrets/signing/canonical.js';
import { amzDate, emitAuthorization } from '../../../src/secrets/signing/sigv4.js';
import { type Answered, Corridor, type Seen, type Sent, type Server, startServer } from '../corridor.js';

const HOST = 'bucket.s3.eu-central-1.aws.test';
const ID = 'AKIAREALREALREALREAL';
const KEY = 'realrealrealrealrealrealrealrealrealreal';
const HMAC_KEY = 'hmac-key-of-the-hook';

let server: Server;
let corridor: Corridor;

beforeAll(async () => {
  server = await startServer([HOST, 'sts.aws.test', 'hook.test'], ({ headers }) => ({
    body: `your key is ${String(headers.authorization).slice(0, 80)}`,
  }));
  const aws = (service: string) => ({
    sign: { aws_sigv4: { access_key_id: 'AWS_ACCESS_KEY_ID', service, region: 'eu-central-1' } },
  });
  corridor = await new Corridor({
    ...{ AWS_ACCESS_KEY_ID: ID, AWS_SECRET_ACCESS_KEY: KEY, STS_KEY: KEY, HOOK_KEY: HMAC_KEY },
  }).open(
    {
      allow_domain: ['*.aws.test', '*.s3.eu-central-1.aws.test', 'hook.test', 'other.aws.test'],
      secrets: {
        AWS_ACCESS_KEY_ID: { hosts: [HOST, 'sts.aws.test'] },
        AWS_SECRET_ACCESS_KEY: { hosts: [HOST], ...aws('s3') },
        STS_KEY: { hosts: ['sts.aws.test'], ...aws('sts') },
        HOOK_KEY: {
          hosts: ['hook.test'],
          sign: {
            hmac: { header: 'X-Sig', prefix: 'sha256=', over: ['method', 'path', 'header:x-time', 'body'] },
          },
        },
      },
    },
    server,
  );
});
afterAll(async () => {
  await corridor.close();
  await server.close();
});
beforeEach(() => {
  server.seen.length = 0;
});

interface Signed extends Sent {
  readonly host?: string;
  readonly service?: string;
  readonly region?: string;
  readonly contentHash?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly change?: (authorization: string) => string;
  /** Where it goes, if not where it was signed for. */
  readonly sentPath?: string;
}

/** As an SDK in the sandbox signs: with the placeholders. */
function send({
  host = HOST,
  service = 's3',
  region = 'eu-central-1',
  change = x => x,
  ...rest
}: Signed): Promise<Answered> {
  const { method = 'GET', path = '/', body = '', contentHash = sha256(body) } = rest;
  const date = amzDate(Date.now());
  const headers: Record<string, string> = {
    'x-amz-date': date,
    ...(contentHash === null ? {} : { 'x-amz-content-sha256': contentHash }),
    ...rest.headers,
  };
  const authorization = emitAuthorization(
    {
      ...{ method, target: path, date, contentHash: contentHash ?? sha256(body) },
      headers: [['host', host], ...Object.entries(headers)],
      signed: ['host', ...Object.keys(headers)].sort(),
      scope: { date: date.slice(0, 8), region, service },
    },
    {
      accessKeyId: corridor.placeholder('AWS_ACCESS_KEY_ID'),
      secretAccessKey: corridor.placeholder('AWS_SECRET_ACCESS_KEY'),
    },
  );
  const value = change(authorization.ok ? authorization.value : '');
  return corridor.send(host, {
    method,
    path: rest.sentPath ?? path,
    body,
    headers: { ...headers, authorization: value },
  });
}

/** As AWS verifies: makes the signature itself from what came. */
function holds({ method, url, headers, body }: Seen, service: string): boolean {
  const authorization = String(headers.authorization);
  const signed = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const date = String(headers['x-amz-date']);
  const want = emitAuthorization(
    {
      ...{ method, target: url, signed, date },
      headers: Object.entries(headers).map(([name, value]) => [name, String(value)] as const),
      contentHash: String(headers['x-amz-content-sha256'] ?? sha256(body)),
      scope: { date: date.slice(0, 8), region: 'eu-central-1', service },
    },
    { accessKeyId: ID, secretAccessKey: KEY },
  );
  return want.ok && want.value === authorization;
}

const good: readonly (readonly [string, Signed])[] = [
  ['a GET', { path: '/a%20key/x?list-type=2&prefix=a%2Fb' }],
  ['a PUT with the hash of its content', { method: 'PUT', path: '/k', body: 'hello' }],
  [
    'a PUT that leaves its content unsigned',
    { method: 'PUT', path: '/k', body: 'hello', contentHash: 'UNSIGNED-PAYLOAD' },
  ],
  ['a request with fields of its own', { headers: { 'x-amz-acl': 'private', 'x-amz-meta-a': '  b   c ' } }],
];
for (const [name, sent] of good) {
  test(`${name} arrives signed with the real pair, and its answer is redacted`, async () => {
    const answer = await send(sent);
    expect(answer.status).toBe(200);
    expect(server.seen.map(one => holds(one, 's3'))).toEqual([true]);
    expect(answer.body).toContain(corridor.placeholder('AWS_ACCESS_KEY_ID'));
    expect(answer.body).not.toContain(ID);
  });
}

test('a service that has no hash in the head gets one of the content that leaves', async () => {
  const body = 'Action=GetCallerIdentity&Version=2011-06-15';
  await send({ host: 'sts.aws.test', service: 'sts', method: 'POST', body, contentHash: null });
  expect(server.seen.map(one => holds(one, 'sts'))).toEqual([true]);
});

const refused: readonly (readonly [string, () => Signed, RegExp])[] = [
  ['another region', () => ({ region: 'us-east-1' }), /scope is us-east-1\/s3/],
  ['another service', () => ({ service: 'iam' }), /scope is eu-central-1\/iam/],
  ['signed chunks', () => ({ contentHash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' }), /signs each chunk/],
  ['a hash that is none', () => ({ contentHash: 'abc' }), /neither a SHA-256/],
  [
    'a malformed Authorization',
    () => ({ change: x => x.replace('SignedHeaders', 'Signed') }),
    /is not AWS4-HMAC-SHA256/,
  ],
  ['no signed host', () => ({ change: x => x.replace('host;', '') }), /must name host and x-amz-date/],
  ['a date of another day', () => ({ change: x => x.replace(/\/\d{8}\//, '/20150830/') }), /not one day/],
  ['a plus sign in its query', () => ({ sentPath: '/?a=b+c' }), /two readings/],
  [
    'a presigned URL',
    () => ({ path: `/k?X-Amz-Credential=${corridor.placeholder('AWS_ACCESS_KEY_ID')}%2F20260101` }),
    /presigned URL/,
  ],
];
for (const [name, sent, why] of refused) {
  test(`a request with ${name} is refused with the reason, and nothing leaves`, async () => {
    const answer = await send(sent());
    expect(answer.status).toBe(403);
    expect(answer.body).toMatch(why);
    expect(server.seen).toEqual([]);
  });
}

test('the key itself is in no request, wherever its placeholder stands', async () => {
  const placeholder = corridor.placeholder('AWS_SECRET_ACCESS_KEY');
  await corridor.send(HOST, { headers: { 'x-key': placeholder } });
  expect(JSON.stringify(server.seen)).not.toContain(KEY);
});

test('a host that the pair is not for is refused as a leak', async () => {
  const answer = await send({ host: 'other.aws.test' });
  expect([answer.status, server.seen.length]).toEqual([403, 0]);
});

test('an HMAC is made anew with the key, over the parts that the policy names', async () => {
  const claimed = createHmac('sha256', corridor.placeholder('HOOK_KEY')).update('anything').digest('hex');
  const sent = { method: 'POST', path: '/in?x=1', body: '{"a":1}' };
  await corridor.send('hook.test', { ...sent, headers: { 'x-time': '17', 'x-sig': `sha256=${claimed}` } });
  const want = createHmac('sha256', HMAC_KEY).update('POST\n/in?x=1\n17\n{"a":1}').digest('hex');
  expect(server.seen.map(({ headers }) => headers['x-sig'])).toEqual([`sha256=${want}`]);
});

test('an HMAC that is none, or over a field that is not there, is refused', async () => {
  const none = await corridor.send('hook.test', { headers: { 'x-time': '17', 'x-sig': 'sha256=zz' } });
  const lacking = await corridor.send('hook.test', { headers: { 'x-sig': `sha256=${'a'.repeat(64)}` } });
  expect([none.status, lacking.status, server.seen.length]).toEqual([403, 403, 0]);
});

test('events name the key that signed, and hold no value', async () => {
  await send({});
  await corridor.gateway.close();
  const done = corridor.events.filter(({ type }) => type === 'request.done').at(-1);
  expect(done?.network?.secrets).toEqual(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
  expect(JSON.stringify(corridor.events)).not.toMatch(new RegExp(`${KEY}|${ID}|${HMAC_KEY}`));
});
