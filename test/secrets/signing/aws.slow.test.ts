/** The real SDK of AWS as client and as verifier. Where Python has no botocore, the test is expected to fail. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Corridor, type Seen, type Server, startServer } from '../corridor.js';

const HOST = 's3.eu-central-1.aws.test';
const ID = 'AKIAREALREALREALREAL';
const KEY = 'real/real+realrealrealrealrealrealreal/K';
const hasBotocore = spawnSync('python3', ['-c', 'import botocore']).status === 0;
const withBotocore = hasBotocore ? test : test.failing;

/** A client in the sandbox: botocore signs with the placeholders, and sends what it signed through the door. */
const CLIENT = `
import json, socket, ssl, sys, http.client
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
o = json.load(sys.stdin)
context = ssl.create_default_context(cadata=o['ca'])
for method, path, body in o['requests']:
    request = AWSRequest(method=method, url='https://' + o['host'] + path, data=body.encode())
    request.context['payload_signing_enabled'] = True
    S3SigV4Auth(Credentials(o['id'], o['key']), 's3', 'eu-central-1').add_auth(request)
    prepared = request.prepare()
    raw = socket.create_connection(('127.0.0.1', o['port']))
    connection = http.client.HTTPSConnection(o['host'], context=context)
    connection.sock = context.wrap_socket(raw, server_hostname=o['host'])
    connection.request(method, path, body=body.encode(), headers=dict(prepared.headers))
    answer = connection.getresponse()
    print(answer.status)
    answer.read()
    connection.close()
`;

/** The upstream's verifier: botocore makes the signature from what came, and compares. */
const VERIFIER = `
import json, sys
from unittest import mock
import datetime
import botocore.auth
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
o = json.load(sys.stdin)
for seen in o['seen']:
    headers = seen['headers']
    field = headers.pop('authorization')
    names = field.split('SignedHeaders=')[1].split(',')[0].split(';')
    request = AWSRequest(method=seen['method'], url='https://' + headers['host'] + seen['url'])
    for name in names:
        request.headers[name] = headers[name]
    request.context['timestamp'] = headers['x-amz-date']
    auth = S3SigV4Auth(Credentials(o['id'], o['key']), 's3', 'eu-central-1')
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    print('holds' if field.endswith('Signature=' + signature) else 'differs')
`;

let server: Server;
let corridor: Corridor;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-aws-'));
  server = await startServer([HOST], () => ({ body: '<ListBucketResult/>' }));
  corridor = await new Corridor({ AWS_ACCESS_KEY_ID: ID, AWS_SECRET_ACCESS_KEY: KEY }).open(
    {
      allow_domain: [HOST],
      secrets: {
        AWS_ACCESS_KEY_ID: { hosts: [HOST] },
        AWS_SECRET_ACCESS_KEY: {
          hosts: [HOST],
          sign: { aws_sigv4: { access_key_id: 'AWS_ACCESS_KEY_ID', service: 's3', region: 'eu-central-1' } },
        },
      },
    },
    server,
  );
});
afterAll(async () => {
  await corridor.close();
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  server.seen.length = 0;
});

function python(script: string, input: object): Promise<string[]> {
  const file = join(folder, 'script.py');
  writeFileSync(file, script);
  return finished('python3', [file], {}, JSON.stringify(input));
}

function finished(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = '',
): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    let text = '';
    let complaint = '';
    child.stdout.on('data', piece => {
      text += piece;
    });
    child.stderr.on('data', piece => {
      complaint += piece;
    });
    child.once('error', reject);
    child.once('close', code =>
      code === 0 ? resolve(text.trim().split('\n')) : reject(new Error(`${program}: ${code} ${complaint}`)),
    );
    child.stdin.end(input);
  });
}

function verified(seen: readonly Seen[]): Promise<string[]> {
  const told = seen.map(({ method, url, headers }) => ({ method, url, headers }));
  return python(VERIFIER, { id: ID, key: KEY, seen: told });
}

withBotocore(
  'what botocore signs with placeholders arrives with a signature that botocore finds right',
  async () => {
    const requests = [
      ['GET', '/bucket?list-type=2&prefix=a%2Fb%20c', ''],
      ['PUT', '/bucket/key%20with%20blanks~%2B%40', 'the content'],
      ['GET', '/bucket//two/./dots', ''],
      ['DELETE', '/bucket/k?versionId=%C3%A4', ''],
    ];
    const statuses = await python(CLIENT, {
      ...{ requests, host: HOST, port: corridor.doorPort, ca: corridor.caPem },
      id: corridor.placeholder('AWS_ACCESS_KEY_ID'),
      key: corridor.placeholder('AWS_SECRET_ACCESS_KEY'),
    });
    expect(statuses).toEqual(['200', '200', '200', '200']);
    expect(await verified(server.seen)).toEqual(['holds', 'holds', 'holds', 'holds']);
  },
);
