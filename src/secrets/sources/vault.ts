/**
 * HashiCorp Vault's KV version 2 over HTTPS: `GET /v1/:mount/data/:path`, the token in `X-Vault-Token`, the namespace in
 * `X-Vault-Namespace` (Vault's HTTP API, "Read secret version").
 *
 * Pure.
 */
import { answeredObject, gone, objectOf, textField } from './answer.js';
import type { Ask, Fetched, VaultSource } from './source.js';

export async function fromVault(
  { address, mount, path, field, namespace }: VaultSource,
  token: string,
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
  const data = objectOf(objectOf(answer.value.get('data'))?.get('data'));
  return data === null ? gone('Vault holds no data there') : textField(data, field);
}

function segments(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
