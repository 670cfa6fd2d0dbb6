import { parsePolicy } from '../../src/policy/document.js';

const secret = (text: string) => parsePolicy(`secrets: { S: { hosts: [api.test], ${text} } }`, 'p.yaml');

const read: readonly (readonly [string, object])[] = [
  ['value_from: { fd: 3 }', { valueFrom: { kind: 'fd', fd: 3 } }],
  ['value_from: { systemd: token }', { valueFrom: { kind: 'systemd', name: 'token' } }],
  [
    'value_from: { keyring: { service: x, user: y } }',
    {
      valueFrom: {
        kind: 'keyring',
        attributes: [
          ['service', 'x'],
          ['user', 'y'],
        ],
      },
    },
  ],
  [
    'value_from: { vault: { address: "https://vault.test:8200", path: a/b, field: token } }, refresh: 5m',
    {
      refreshMs: 300_000,
      valueFrom: {
        kind: 'vault',
        mount: 'secret',
        namespace: null,
        tokenFrom: { kind: 'env', name: 'VAULT_TOKEN' },
      },
    },
  ],
  [
    'value_from: { aws_secrets_manager: { region: eu-central-1, secret_id: prod/db } }',
    {
      valueFrom: { field: null, endpoint: null, accessKeyIdFrom: { kind: 'env', name: 'AWS_ACCESS_KEY_ID' } },
    },
  ],
  [
    'value_from: { oauth2: { token_url: "https://auth.test/token", grant: refresh_token, client_id: me, refresh_token_from: { file: /r } } }',
    {
      valueFrom: {
        grant: 'refresh_token',
        clientSecretFrom: null,
        refreshTokenFrom: { kind: 'file', path: '/r' },
      },
    },
  ],
  [
    'value_from: { jwt: { key_from: { file: /k.pem }, alg: RS256, claims: { iss: "1" }, ttl: 9m } }',
    { valueFrom: { kind: 'jwt', claims: [['iss', '1']], ttlMs: 540_000 } },
  ],
  [
    'sign: { aws_sigv4: { access_key_id: ID, service: s3, region: eu-central-1 } }',
    { sign: { kind: 'aws_sigv4', accessKeyId: 'ID', service: 's3', region: 'eu-central-1' } },
  ],
  [
    'sign: { hmac: { header: X-Sig, over: [method, "header:X-Time", body] } }',
    {
      sign: {
        header: 'x-sig',
        algorithm: 'sha256',
        encoding: 'hex',
        separator: '\n',
        over: [{ kind: 'method' }, { kind: 'header', name: 'x-time' }, { kind: 'body' }],
      },
    },
  ],
];
for (const [text, want] of read) {
  test(`a secret with ${text} is read as written`, () => {
    const parsed = secret(text);
    expect(parsed.ok && parsed.value.secrets[0]).toMatchObject(want);
  });
}

const wrong: readonly (readonly [string, RegExp])[] = [
  ['value_from: { fd: 1 }', /fd: is 0 \(standard input\) or 3 to 1023/],
  ['value_from: { systemd: ../x }', /not the name of a credential/],
  ['value_from: { keyring: {} }', /names no attribute/],
  ['value_from: { keyring: { --unlock: x } }', /keyring/],
  ['value_from: { vault: { address: "http://vault.test", path: a, field: f } }', /not https:\/\/HOST/],
  ['value_from: { vault: { address: "https://vault.test/x", path: a, field: f } }', /not https:\/\/HOST/],
  ['value_from: { vault: { address: "https://vault.test", path: ../sys/x, field: f } }', /is a path such as/],
  [
    'value_from: { oauth2: { token_url: "https://u@auth.test/t", grant: client_credentials, client_id: a } }',
    /not an https URL/,
  ],
  [
    'value_from: { oauth2: { token_url: "https://auth.test/t", grant: client_credentials, client_id: a } }',
    /client_secret_from: is what this grant needs/,
  ],
  [
    'value_from: { oauth2: { token_url: "https://auth.test/t", grant: refresh_token, client_id: a } }',
    /refresh_token_from: is what this grant needs/,
  ],
  ['value_from: { jwt: { key_from: { env: K }, alg: none, claims: {}, ttl: 5m } }', /'RS256' or 'ES256'/],
  [
    'value_from: { jwt: { key_from: { env: K }, alg: RS256, claims: { exp: 1 }, ttl: 5m } }',
    /the gateway sets it/,
  ],
  ['value_from: { jwt: { key_from: { env: K }, alg: RS256, claims: {}, ttl: 48h } }', /from 10s to 24h/],
  ['refresh: 5 minutes', /not a duration such as/],
  ['sign: {}', /exactly one of aws_sigv4 and hmac/],
  ['sign: { hmac: { header: X, over: [cookie] } }', /none of method, host, path, body/],
];
for (const [text, want] of wrong) {
  test(`a secret with ${text} is refused`, () => {
    const parsed = secret(text);
    expect(parsed.ok || parsed.error.map(({ path, message }) => `${path}: ${message}`).join('\n')).toMatch(
      want,
    );
  });
}
