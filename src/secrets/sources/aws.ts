/**
 * AWS Secrets Manager: `GetSecretValue` and, for its rotation, `DescribeSecret` (API version 2017-10-17, JSON 1.1), signed
 * by our own Signature Version 4.
 *
 * Pure: the time is given.
 */
import type { Result } from '../../core/result.js';
import { sha256 } from '../signing/canonical.js';
import { amzDate, emitAuthorization, type SigningPair } from '../signing/sigv4.js';
import { answeredObject, failed, given, gone, parseObject, textField } from './answer.js';
import type { Ask, AwsSecretSource, Fetched, SourceAnswer, SourceRequest } from './source.js';

const SERVICE = 'secretsmanager';

/** A secret that rotates is asked for again at its date, and so often at least and at most: dates are not kept to the second. */
const SELDOM_MS = 3_600_000;
const OFTEN_MS = 60_000;

type Pair = SigningPair & { readonly sessionToken: string | null };

export async function fromSecretsManager(
  source: AwsSecretSource,
  pair: Pair,
  nowMs: number,
  ask: Ask,
  signal?: AbortSignal,
): Promise<Fetched> {
  const request = requestOf('GetSecretValue', source, pair, nowMs);
  if (request === null) return failed('its request cannot be signed');
  const value = read(await ask(request, signal), source.field);
  if (!value.ok) return value;
  const described = requestOf('DescribeSecret', source, pair, nowMs);
  const againMs = described === null ? null : rotationOf(await ask(described, signal), nowMs);
  return { ok: true, value: { ...value.value, againMs } };
}

function requestOf(
  action: 'GetSecretValue' | 'DescribeSecret',
  { region, secretId, endpoint }: AwsSecretSource,
  pair: Pair,
  nowMs: number,
): SourceRequest | null {
  const base = endpoint ?? `https://secretsmanager.${region}.amazonaws.com`;
  const body = JSON.stringify({ SecretId: secretId });
  const date = amzDate(nowMs);
  const headers = new Map([
    ['content-type', 'application/x-amz-json-1.1'],
    ['host', base.slice('https://'.length)],
    ['x-amz-date', date],
    ...(pair.sessionToken === null ? [] : ([['x-amz-security-token', pair.sessionToken]] as const)),
    ['x-amz-target', `secretsmanager.${action}`],
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
  if (!authorization.ok) return null;
  const sent = new Map([...headers, ['authorization', authorization.value] as const]);
  return { method: 'POST', url: `${base}/`, headers: sent, body };
}

function read(answered: Result<SourceAnswer, string>, field: string | null): Fetched {
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

/** When to ask again. Who may read the value need not be allowed to describe it: then nothing is known. */
function rotationOf(answered: Result<SourceAnswer, string>, nowMs: number): number | null {
  const answer = answeredObject(answered, 'Secrets Manager');
  if (!answer.ok || answer.value.get('RotationEnabled') !== true) return null;
  // Seconds since the epoch; the rotation happens on or before it.
  const next = answer.value.get('NextRotationDate');
  const left = typeof next === 'number' ? next * 1_000 - nowMs : SELDOM_MS;
  return Math.max(OFTEN_MS, Math.min(left, SELDOM_MS));
}
