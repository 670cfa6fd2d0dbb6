/**
 * An authorization server of its own process: oidc-provider over TLS on loopback. Run by `startAuthorizationServer`:
 * `node authorization-server.mjs`, with `{ keyPem, certPem, clientId, clientSecret, lifeSeconds }` as one line on its
 * standard input; prints `{ port, refreshToken }`, and ends with its standard input.
 */
import https from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
const { value: line } = await lines[Symbol.asyncIterator]().next();
const { keyPem, certPem, clientId, clientSecret, lifeSeconds } = JSON.parse(line);
process.stdin.resume().once('end', () => process.exit(0));

const server = https.createServer({ key: keyPem, cert: certPem });
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address();

const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      scope: 'openid offline_access read write',
      grant_types: ['client_credentials', 'refresh_token', 'authorization_code'],
      redirect_uris: ['https://client.test/back'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
  scopes: ['openid', 'offline_access', 'read', 'write', 'admin'],
  rotateRefreshToken: true,
  ttl: { ClientCredentials: lifeSeconds, AccessToken: lifeSeconds, RefreshToken: 3_600, Grant: 3_600 },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  cookies: { keys: ['of-a-test'] },
});
server.on('request', provider.callback());

/** What a user's consent would have led to. */
const client = await provider.Client.find(clientId);
const grant = new provider.Grant({ accountId: 'user', clientId });
grant.addOIDCScope('openid offline_access');
const grantId = await grant.save();
const refresh = new provider.RefreshToken({
  accountId: 'user',
  client,
  grantId,
  gty: 'authorization_code',
  scope: 'openid offline_access',
});
process.stdout.write(`${JSON.stringify({ port, refreshToken: await refresh.save() })}\n`);
