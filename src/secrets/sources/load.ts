/** All values at once, when the gateway starts or is told to load again. Pure. */
import { err, ok, type Result } from '../../core/result.js';
import { loadedSecret, pairProblems, problemsOf, type SecretProblem, type SecretSpec } from '../spec.js';
import type { LoadedSecret } from '../store.js';
import type { Fetcher } from './fetcher.js';

export interface Fresh {
  readonly loaded: LoadedSecret;
  /** In milliseconds from now; null: nobody says. */
  readonly lifeMs: number | null;
  readonly againMs?: number | null;
}

/** Asks all sources at the same time. A source that fails is a problem; all are told at once. */
export async function loadFresh(
  specs: readonly SecretSpec[],
  fetcher: Fetcher,
): Promise<Result<ReadonlyMap<string, Fresh>, readonly SecretProblem[]>> {
  const problems = [...specs.flatMap(problemsOf), ...pairProblems(specs)];
  if (problems.length > 0) return err(problems);
  const results = await Promise.all(specs.map(spec => loadOne(spec, fetcher)));
  const fresh = new Map<string, Fresh>();
  for (const result of results) {
    if (result.ok) fresh.set(result.value.loaded.secret.name, result.value);
    else problems.push(result.error);
  }
  return problems.length > 0 ? err(problems) : ok(fresh);
}

async function loadOne(spec: SecretSpec, fetcher: Fetcher): Promise<Result<Fresh, SecretProblem>> {
  const fetched = await fetcher.fetch(spec);
  if (!fetched.ok)
    return err({ secret: spec.name, message: `secret ${spec.name}: ${fetched.error.message}` });
  const loaded = loadedSecret(spec, fetched.value.value);
  const { lifeMs, againMs = null } = fetched.value;
  return loaded.ok ? ok({ loaded: loaded.value, lifeMs, againMs }) : loaded;
}
