/** The real command line of AWS in a real sandbox. Where it is not installed, the test is expected to fail. */
import { spawnSync } from 'node:child_process';
import { sha256 } from '../../../src/secrets/signing/canonical.js';
import { emitAuthorization, parseAuthorization } from '../../../src/secrets/signing/sigv4.js';
import { bodyOf, facts, Stage } from '../../e2e/stage.js';

const HOST = 's3.eu-central-1.aws.test';
const ID = 'AKIAREALREALREALREAL';
const KEY = 'real/real+realrealrealrealrealrealreal/K';
// Wherever Python keeps it: a folder that the sandbox does not see otherwise is bound into it.
const found = spawnSync('python3', ['-c', 'import awscli, sys; print(sys.executable, sys.prefix)']);
const [python = 'python3', prefix = '/usr'] = found.stdout?.toString().trim().split(' ') ?? [];
const hasCli = found.status === 0;
const binds = prefix === '/usr' ? [] : ['--ro-bind', prefix];
const withCli = hasCli ? test : test.failing;

const stage = new Stage();
afterAll(() => stage.close());

withCli('aws s3api signs with placeholders, and the store finds the real signature right', async () => {
  const holds: boolean[] = [];
  await stage.https(HOST, async (request, response) => {
    const body = await bodyOf(request);
    const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)] as const);
    const field = String(request.headers.authorization);
    const parsed = parseAuthorization(field);
    const date = String(request.headers['x-amz-date']);
    const contentHash = String(request.headers['x-amz-content-sha256']);
    const made = parsed.ok
      ? emitAuthorization(
          {
            ...{ method: request.method ?? '', target: request.url ?? '', headers, date, contentHash },
            ...{ signed: parsed.value.signed, scope: parsed.value.scope },
          },
          { accessKeyId: ID, secretAccessKey: KEY },
        )
      : null;
    holds.push(made?.ok === true && made.value === field && contentHash === sha256(body));
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end('<ListBucketResult><Name>bucket</Name></ListBucketResult>');
  });
  const policy = stage.place.file(
    'aws.yaml',
    `secrets:
  AWS_ACCESS_KEY_ID: { hosts: [${HOST}] }
  AWS_SECRET_ACCESS_KEY:
    hosts: [${HOST}]
    sign: { aws_sigv4: { access_key_id: AWS_ACCESS_KEY_ID, service: s3, region: eu-central-1 } }
`,
  );
  const command = `${python} -m awscli s3api list-objects-v2 --bucket bucket --prefix 'a/b c' --region eu-central-1 --endpoint-url https://${HOST}`;
  const path = `export AWS_CONFIG_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_S3_ADDRESSING_STYLE=path; env | grep ^AWS_ACCESS; ${command}`;
  const { stdout, stderr, events } = await stage.sh(path, {
    flags: ['--policy', policy, ...binds],
    env: { AWS_ACCESS_KEY_ID: ID, AWS_SECRET_ACCESS_KEY: KEY },
  });
  expect({ holds, stdout, stderr }).toMatchObject({
    holds: [true],
    stdout: expect.stringContaining('GWPH_'),
  });
  expect(facts(events, 'request.done')[0]?.secrets).toEqual(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
  expect(stdout + stderr + JSON.stringify(events)).not.toMatch(/realreal|REALREAL/);
});
