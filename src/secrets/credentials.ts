/**
 * `require_placeholder`: the head of a request to a secret's host carries that secret, and no credential that the sandbox brought
 * itself. It keeps an allowed API from being used with somebody else's account.
 *
 * Pure.
 */
import type { HeaderList } from '../core/headers.js';
import type { Leak, Scope } from './scan.js';
import type { SandboxSecrets } from './store.js';

/** Fields that carry credentials on their own. Lower case. */
const CREDENTIAL_FIELDS: ReadonlySet<string> = new Set([
  'api-key',
  'apikey',
  'authorization',
  'private-token',
  'x-access-token',
  'x-amz-security-token',
  'x-api-key',
  'x-auth-key',
  'x-auth-token',
  'x-goog-api-key',
  'x-token',
]);

/** `before` is the head as the sandbox wrote it, `after` with the values in it, `used` what was swapped. */
export function foreignCredentials(
  secrets: SandboxSecrets,
  { allowed }: Scope,
  before: HeaderList,
  after: HeaderList,
  used: ReadonlyMap<string, number>,
): Leak[] {
  const leaks: Leak[] = [];
  for (const secret of allowed) {
    const entry = secrets.entries.get(secret);
    if (entry?.requirePlaceholder !== true) continue;
    if (!used.has(secret)) leaks.push({ secret, place: 'head', encoding: 'plain', reason: 'not-ours' });
    before.forEach((field, index) => {
      const lowerName = field[0].toLowerCase();
      if (!CREDENTIAL_FIELDS.has(lowerName) || after[index] !== field) return;
      leaks.push({ secret, place: `header:${lowerName}`, encoding: 'plain', reason: 'not-ours' });
    });
  }
  return leaks;
}
