/**
 * An access token from an authorization server (RFC 6749 §4.4 client credentials, §6 refresh token).
 *
 * Pure. A refresh token that the server replaces (§6, rotation) is handed back, to be used the next time.
 */

import type { Result } from '../../core/result.js';
import { ok } from '../../core/result.js';
import { answeredObject, failed, gone, parseObject } from './answer.js';
import type { Ask, Fetched, Given, OAuth2Source, SourceFault } from './source.js';

export interface OAuth2Credentials {
  readonly clientSecret: string | null;
  readonly refreshToken: string | null;
}

export interface Token extends Given {
  /** Null: the one that was used stays good. */
  readonly refreshToken: string | null;
}

export async function fromTokenEndpoint(
  source: OAuth2Source,
  { clientSecret, refreshToken }: OAuth2Credentials,
  ask: Ask,
  signal?: AbortSignal,
): Promise<Result<Token, SourceFault>> {
  const form = new URLSearchParams({ grant_type: source.grant });
  if (refreshToken !== null) form.set('refresh_token', refreshToken);
  if (source.scope !== null) form.set('scope', source.scope);
  const headers = new Map([
    ['content-type', 'application/x-www-form-urlencoded'],
    ['accept', 'application/json'],
  ]);
  // A client with a secret says it in Basic (§2.3.1), which every server must take; one without names itself.
  if (clientSecret === null) form.set('client_id', source.clientId);
  else headers.set('authorization', basic(source.clientId, clientSecret));
  const request = { method: 'POST', url: source.tokenUrl, headers, body: form.toString() } as const;
  const answered = await ask(request, signal);
  if (answered.ok && answered.value.status === 400) return refusal(answered.value.body);
  const answer = answeredObject(answered, 'the token endpoint');
  if (!answer.ok) return answer;
  const token = answer.value.get('access_token');
  const type = answer.value.get('token_type');
  if (typeof token !== 'string' || token === '') return failed('the token endpoint gave no access_token');
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    return failed('the token endpoint gave a token that is not a bearer token');
  }
  const seconds = answer.value.get('expires_in');
  const next = answer.value.get('refresh_token');
  return ok({
    value: token,
    lifeMs: typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : null,
    refreshToken: typeof next === 'string' && next !== '' ? next : null,
  });
}

/** §5.2: the code alone; its description is a stranger's text. */
function refusal(body: string): Fetched & { ok: false } {
  const code = parseObject(body)?.get('error');
  const known = typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? ` (${code})` : '';
  return gone(`the token endpoint refused${known}`);
}

/** §2.3.1: both parts are form-encoded first. */
function basic(clientId: string, clientSecret: string): string {
  const part = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);
  return `Basic ${Buffer.from(`${part(clientId)}:${part(clientSecret)}`).toString('base64')}`;
}
