/**
 * Look-ups remembered for their TTL, and asked once however many wait for them.
 *
 * Pure but for its state. An error is not remembered: the next caller asks again.
 */
import { type Endpoint, endpointText } from '../core/address.js';
import type { Clock } from '../core/clock.js';
import { GatewayError } from '../core/errors.js';
import type { Hostname } from '../core/host.js';
import type { LookUp, LookUpAnswer } from './look-up.js';

export const CACHED_TTL_SECONDS = { min: 1, max: 300 } as const;
const MAX_ANSWERS = 10_000;

interface Cached {
  readonly answer: LookUpAnswer;
  readonly staleAtMs: number;
}

/**
 * `maxAnswers` bounds what is kept; the oldest goes first. A caller that aborts leaves the question to the others
 * who wait for it: it ends by its own timeout.
 */
export function createCachedLookUp(lookUp: LookUp, clock: Clock, maxAnswers = MAX_ANSWERS): LookUp {
  const cache = new Map<string, Cached>();
  const asking = new Map<string, Promise<LookUpAnswer>>();

  const remember = (key: string, answer: LookUpAnswer): void => {
    const ttlSeconds = Math.min(CACHED_TTL_SECONDS.max, Math.max(CACHED_TTL_SECONDS.min, answer.ttlSeconds));
    cache.delete(key);
    cache.set(key, { answer, staleAtMs: clock.monotonic() + ttlSeconds * 1000 });
    const [oldest] = cache.keys();
    if (cache.size > maxAnswers && oldest !== undefined) cache.delete(oldest);
  };

  const ask = (key: string, ...[name, family, servers]: Question): Promise<LookUpAnswer> => {
    const answer = lookUp(name, family, servers, new AbortController().signal);
    const asked = answer
      .then(value => {
        remember(key, value);
        return value;
      })
      .finally(() => asking.delete(key));
    asking.set(key, asked);
    return asked;
  };

  return async (name, family, servers, signal) => {
    const key = `${family} ${name} ${servers.map(endpointText).join(' ')}`;
    const cached = cache.get(key);
    if (cached !== undefined && cached.staleAtMs > clock.monotonic()) return cached.answer;
    return unlessAborted(asking.get(key) ?? ask(key, name, family, servers), name, signal);
  };
}

type Question = readonly [name: Hostname, family: 4 | 6, servers: readonly Endpoint[]];

function unlessAborted(
  answer: Promise<LookUpAnswer>,
  name: Hostname,
  signal: AbortSignal,
): Promise<LookUpAnswer> {
  return new Promise((resolve, reject) => {
    const abort = (): void =>
      reject(new GatewayError('RESOLVE_FAILED', `the look-up of ${name} was abandoned`));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
