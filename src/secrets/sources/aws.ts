/**
 * AWS Secrets Manager: `GetSecretValue` (API version 2017-10-17, JSON 1.1), signed by our own Signature Version 4.
 *
 * Pure: the time is given.
 */
import { sha256 } from '../signing/canonical.js';
import { amzDate, emitAuthorization, type SigningPair } from '../signing/sigv4.js';
import { answeredObject, failed, given, gone, parseObject, textField } from './answer.js';
import type { Ask, AwsSecretSource, Fetched } from './source.js';

const SERVICE = 'secretsmanager';

export async function fromSecretsManager(
  { region, secretId, field, endpoint }: AwsSecretSource,
  pair: SigningPair & { readonly sessionToken: string | null },
  nowMs: number,
  ask: Ask,
  signal?: AbortSignal,
): Promise<Fetched> {
  const base = endpoint ?? `https://secretsmanager.${region}.amazonaws.com`;
  const body = JSON.stringify({ SecretId: secretId });
  const date = amzDate(nowMs);
  const headers = new Map([
    ['content-type', 'application/x-amz-json-1.1'],
    ['host', base.slice('https://'.length)],
    ['x-amz-date', date],
    ...(pair.sessionToken === null ? [] : ([['x-amz-security-token', pair.sessionToken]] as const)),
    ['x-amz-target', 'secretsmanager.GetSecretValue'],
  ] as const);
  const authorization = emitAuthorization(
    {
      method: 'POST',
      target: '/',
      headers: [...headers],
      signed: [...headers.keys()],
      contentHash: sha256(body),
      date,
      scope: { date: date.slice(0, 8), region, service: SERVICE },
    },
    pair,
  );
  if (!authorization.ok) return failed('its request cannot be signed');
  const sent = new Map([...headers, ['authorization', authorization.value] as const]);
  return read(await ask({ method: 'POST', url: `${base}/`, headers: sent, body }, signal), field);
}

function read(answered: Awaited<ReturnType<Ask>>, field: string | null): Fetched {
  // A secret that is not there, or that is marked for deletion, is a 400 with its kind in `__type`.
  if (answered.ok && answered.value.status === 400) {
    const type = parseObject(answered.value.body)?.get('__type');
    const kind = typeof type === 'string' ? (/[A-Za-z]{1,64}$/.exec(type)?.[0] ?? '') : '';
    const message = `Secrets Manager answered 400 ${kind}`.trimEnd();
    return /NotFound|InvalidRequest|AccessDenied/.test(kind) ? gone(message) : failed(message);
  }
  const answer = answeredObject(answered, 'Secrets Manager');
  if (!answer.ok) return answer;
  const text = answer.value.get('SecretString');
  if (typeof text !== 'string') return gone('the secret is binary; only a SecretString can be a value');
  if (field === null) return given(text);
  const object = parseObject(text);
  return object === null ? gone('its SecretString is not a JSON object') : textField(object, field);
}
