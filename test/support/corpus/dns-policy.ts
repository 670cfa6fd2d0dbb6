const USUAL_RULES = { allow: ['allowed.test', '*.allowed.test'], deny: ['denied.test'] };

/** The policy that a file names in its `meta`: `{ allow: [pattern], deny: [pattern] }`. */
import { compile } from '../../../src/policy/compile.js';
import { flagsLayer } from '../../../src/policy/flags.js';
import type { Policy } from '../../../src/policy/policy.js';

export function policyOfRules(rules: unknown = USUAL_RULES): Policy {
  const layer = flagsLayer({ allow: listOf(rules, 'allow'), deny: listOf(rules, 'deny') });
  const policy = layer.ok ? compile([layer.value.document]) : layer;
  if (!policy.ok) throw new Error('the rules of the corpus do not compile');
  return policy.value;
}

/** The same as a document; null where the file names none. */
export function policyIn(rules: unknown): { allow_domain: string[]; deny_domain: string[] } | null {
  if (typeof rules !== 'object' || rules === null) return null;
  return { allow_domain: listOf(rules, 'allow'), deny_domain: listOf(rules, 'deny') };
}

function listOf(rules: unknown, key: 'allow' | 'deny'): string[] {
  const list = new Map(Object.entries(rules ?? {})).get(key);
  return Array.isArray(list) ? list.map(String) : [];
}
