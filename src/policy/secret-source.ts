/** Where a value comes from and what a key signs, from the file's words to ours. Pure: the schema has checked both. */
import { sure } from './rules.js';
import { type LocalInput, parseDuration, type SignInput, type ValueFromInput } from './secret-schema.js';
import type { HmacPart, LocalSource, SigningSpec, ValueSource } from './secret-spec.js';

/** `name`: the secret's own, which is its variable unless something else is said. */
export function valueSource(name: string, from: ValueFromInput | undefined): ValueSource {
  const { vault, aws_secrets_manager: aws, oauth2, jwt } = from ?? {};
  if (vault !== undefined) {
    return {
      kind: 'vault',
      address: vault.address,
      mount: vault.mount ?? 'secret',
      path: vault.path,
      field: vault.field,
      namespace: vault.namespace ?? null,
      tokenFrom: localSource('VAULT_TOKEN', vault.token_from),
    };
  }
  if (aws !== undefined) {
    return {
      kind: 'aws_secrets_manager',
      region: aws.region,
      secretId: aws.secret_id,
      field: aws.field ?? null,
      endpoint: aws.endpoint ?? null,
      accessKeyIdFrom: localSource('AWS_ACCESS_KEY_ID', aws.access_key_id_from),
      secretAccessKeyFrom: localSource('AWS_SECRET_ACCESS_KEY', aws.secret_access_key_from),
      sessionTokenFrom: optionalSource(aws.session_token_from),
    };
  }
  if (oauth2 !== undefined) return oauth2Source(oauth2);
  if (jwt !== undefined) {
    const claims = Object.entries(jwt.claims);
    const ttlMs = sure(parseDuration(jwt.ttl));
    return { kind: 'jwt', keyFrom: localSource('', jwt.key_from), algorithm: jwt.alg, claims, ttlMs };
  }
  return localSource(name, from);
}

function oauth2Source(input: NonNullable<ValueFromInput['oauth2']>): ValueSource {
  return {
    kind: 'oauth2',
    tokenUrl: input.token_url,
    grant: input.grant,
    clientId: input.client_id,
    clientSecretFrom: optionalSource(input.client_secret_from),
    refreshTokenFrom: optionalSource(input.refresh_token_from),
    scope: input.scope ?? null,
  };
}

function optionalSource(from: LocalInput | undefined): LocalSource | null {
  return from === undefined ? null : localSource('', from);
}

/** Nothing said: the variable `name`. */
function localSource(name: string, from: LocalInput | undefined): LocalSource {
  if (from?.file !== undefined) return { kind: 'file', path: from.file };
  if (from?.command !== undefined) return { kind: 'command', command: from.command };
  if (from?.fd !== undefined) return { kind: 'fd', fd: from.fd };
  if (from?.systemd !== undefined) return { kind: 'systemd', name: from.systemd };
  if (from?.keyring !== undefined) return { kind: 'keyring', attributes: Object.entries(from.keyring) };
  return { kind: 'env', name: from?.env ?? name };
}

export function signingSpec({ aws_sigv4: aws, hmac }: SignInput): SigningSpec {
  if (aws !== undefined) {
    return { kind: 'aws_sigv4', accessKeyId: aws.access_key_id, service: aws.service, region: aws.region };
  }
  return {
    kind: 'hmac',
    header: (hmac?.header ?? '').toLowerCase(),
    prefix: hmac?.prefix ?? '',
    algorithm: hmac?.algorithm ?? 'sha256',
    encoding: hmac?.encoding ?? 'hex',
    over: (hmac?.over ?? []).map(hmacPart),
    separator: hmac?.separator ?? '\n',
  };
}

function hmacPart(text: string): HmacPart {
  if (text === 'method' || text === 'host' || text === 'path' || text === 'body') return { kind: text };
  return { kind: 'header', name: text.slice('header:'.length).toLowerCase() };
}
