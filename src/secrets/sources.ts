/** Values from where they live, for who needs them once: everything about sources is in `sources/`. Pure. */
import { systemClock } from '../core/clock.js';
import { GatewayError } from '../core/errors.js';
import { err, ok, type Result } from '../core/result.js';
import { type Environment, Fetcher } from './sources/fetcher.js';
import { loadFresh } from './sources/load.js';
import type { Ask } from './sources/source.js';
import type { SecretProblem, SecretSpec } from './spec.js';
import type { SecretSet } from './store.js';

export type { Environment } from './sources/fetcher.js';

export interface SourceOptions {
  readonly commandTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** How services are asked; default: not at all. */
  readonly ask?: Ask;
}

/**
 * Fetches every value, all sources at the same time. `env` is the gateway's own environment; `literals` are the
 * values that came with flags, by secret.
 */
export async function loadSecrets(
  specs: readonly SecretSpec[],
  env: Environment,
  literals: ReadonlyMap<string, string>,
  { ask = () => Promise.resolve(err('cannot be asked here')), ...options }: SourceOptions = {},
): Promise<Result<SecretSet, readonly SecretProblem[]>> {
  const fresh = await loadFresh(specs, new Fetcher({ env, literals, ask, clock: systemClock, ...options }));
  if (!fresh.ok) return fresh;
  return ok(new Map([...fresh.value].map(([name, { loaded }]) => [name, loaded])));
}

/** What to throw where there is nobody to list problems to. */
export function secretsUnavailable(problems: readonly SecretProblem[]): GatewayError {
  return new GatewayError('SECRET_UNAVAILABLE', problems.map(({ message }) => message).join('; '));
}
