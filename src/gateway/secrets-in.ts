/** Whether a text carries a secret: what the resolver asks about each name. Pure. */
import type { SandboxSecrets } from '../secrets/store.js';

/** Names of the secrets whose placeholder or value stands in `text`. */
export function secretsIn(secrets: SandboxSecrets, text: string): readonly string[] {
  if (secrets.empty) return [];
  const { watch } = secrets;
  const { hits } = watch.look(Buffer.from(text, 'latin1'), () => true);
  return [...new Set(hits.map(hit => watch.mark(hit).subject.secret))];
}
