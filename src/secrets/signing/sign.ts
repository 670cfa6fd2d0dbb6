/**
 * Signing on the host: a request that the sandbox signed with a placeholder is signed again with the key that it stands
 * for, over exactly what leaves. The key itself is in no request.
 *
 * Pure. Errors are sentences for the sandbox and the operator: they name secrets, never values.
 */
import { err, ok, type Result } from '../../core/result.js';
import type { SandboxSecrets } from '../store.js';
import { hmacSigning } from './hmac.js';
import { sigV4Signing } from './resign.js';
import type { Signable, Signing } from './signable.js';

/** Which signature is due; null: none. What was signed in a way that cannot be signed again is an error. */
export function signingFor(secrets: SandboxSecrets, request: Signable): Result<Signing | null, string> {
  const due: Signing[] = [];
  for (const name of request.allowed) {
    const entry = secrets.entries.get(name);
    if (entry?.sign == null) continue;
    const { sign } = entry;
    const signing =
      sign.kind === 'hmac' ? hmacSigning(entry, sign, request) : sigV4Signing(secrets, entry, sign, request);
    if (!signing.ok) return err(`${name}: ${signing.error}`);
    if (signing.value !== null) due.push(signing.value);
  }
  const [first = null, second] = due;
  if (second !== undefined)
    return err(`${due.map(({ secret }) => secret).join(' and ')} would both sign this request`);
  return ok(first);
}
