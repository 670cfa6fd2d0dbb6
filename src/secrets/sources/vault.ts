/**
 * HashiCorp Vault's KV version 2 over HTTPS: `GET /v1/:mount/data/:path`, the token in `X-Vault-Token`, the namespace in
 * `X-Vault-Namespace` (Vault's HTTP API, "Read secret version"). A value lives no longer than its lease, nor than the time
 * at which its version is to be deleted (`delete_version_after`).
 *
 * Pure: the time is given.
 */
import { answeredObject, given, gone, objectOf, textField } from './answer.js';
import type { Ask, Fetched, VaultSource } from './source.js';

export async function fromVault(
  { address, mount, path, field, namespace }: VaultSource,
  token: string,
  nowMs: number,
  ask: Ask,
  signal?: AbortSignal,
): Promise<Fetched> {
  const headers = new Map([
    ['X-Vault-Token', token],
    ['X-Vault-Request', 'true'],
  ]);
  if (namespace !== null) headers.set('X-Vault-Namespace', namespace);
  const url = `${address}/v1/${segments(mount)}/data/${segments(path)}`;
  const answer = answeredObject(await ask({ method: 'GET', url, headers, body: '' }, signal), 'Vault');
  if (!answer.ok) return answer;
  // A version that was deleted is answered with 404; data: null is what an older Vault says of it.
  const version = objectOf(answer.value.get('data'));
  const data = objectOf(version?.get('data'));
  if (data === null) return gone('Vault holds no data there');
  const value = textField(data, field);
  if (!value.ok) return value;
  const ends = objectOf(version?.get('metadata'))?.get('deletion_time');
  const lives = [leaseMs(answer.value.get('lease_duration')), untilMs(ends, nowMs)];
  const known = lives.filter(life => life !== null);
  return given(value.value.value, known.length === 0 ? null : Math.min(...known));
}

/** In seconds; 0: there is no lease. */
function leaseMs(seconds: unknown): number | null {
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : null;
}

/** A time as RFC 3339; empty: never. What is past is as good as now: the next answer will say that it is gone. */
function untilMs(time: unknown, nowMs: number): number | null {
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(1_000, at - nowMs);
}

function segments(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
