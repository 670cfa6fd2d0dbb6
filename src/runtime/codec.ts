/**
 * The one mapping between names in files (snake_case) and in the program (camelCase).
 *
 * Pure. Keys that are somebody's own words (variables, secrets, paths, host names) stay as they are.
 */

/** Fields whose keys are not names of ours. */
const OWN_WORDS: ReadonlySet<string> = new Set([
  'env',
  'secrets',
  'directMounts',
  'direct_mounts',
  'mounts',
  'addHosts',
  'add_hosts',
  'keyring',
  'claims',
]);

export function toSnake(value: unknown): unknown {
  return renamed(value, name => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`));
}

export function toCamel(value: unknown): unknown {
  return renamed(value, name => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()));
}

type Rename = (name: string) => string;

function renamed(value: unknown, rename: Rename): unknown {
  if (Array.isArray(value)) return value.map(item => renamed(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([name, field]) => {
      return [
        rename(name),
        OWN_WORDS.has(name) ? renamedValues(field, rename) : renamed(field, rename),
      ] as const;
    });
  return Object.fromEntries(entries);
}

function renamedValues(value: unknown, rename: Rename): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return renamed(value, rename);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, renamed(field, rename)]));
}
