/** What the tests of the runtime share. */
import { compile } from '../../src/policy/compile.js';
import { documentFrom } from '../../src/policy/document.js';
import { runExamples } from '../../src/policy/examples.js';
import type { PolicyDocument } from '../../src/policy/policy.js';

/** What `layers` together say of a URL whose name has these addresses. */
export function verdictOn(
  layers: readonly PolicyDocument[],
  url: string,
  addresses: readonly string[],
): 'allow' | 'deny' {
  const question = documentFrom({ examples: [{ url, resolves_to: addresses, expect: 'allow' }] }, 'question');
  if (!question.ok) throw new Error(JSON.stringify(question.error));
  const compiled = compile([...layers.map(layer => ({ ...layer, examples: [] })), question.value], {});
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.error));
  return runExamples(compiled.value)[0]?.pass === true ? 'allow' : 'deny';
}
