/**
 * The environment that a sandbox gets: placeholders where values would be.
 *
 * Pure.
 */
import { redactAll } from './redact.js';
import { reveal } from './secret.js';
import type { SandboxSecrets } from './store.js';

/**
 * Each secret's name holds its placeholder; a value found in any other variable, in whatever coding, is swapped for
 * its placeholder too. A variable whose name holds a value is left out.
 */
export function sandboxEnvironment(
  secrets: SandboxSecrets,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const placeholders = new Map(
    [...secrets.entries.values()].map(entry => [reveal(entry.secret), entry.placeholder]),
  );
  const safe = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || redactAll(secrets, name) !== name) continue;
    safe.set(name, placeholders.get(value) ?? redactAll(secrets, value));
  }
  for (const { name, placeholder } of secrets.entries.values()) safe.set(name, placeholder);
  return Object.fromEntries(safe);
}
