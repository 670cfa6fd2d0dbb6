/**
 * The values that are in force: loaded with a policy, kept up to date while it lasts, let go with it.
 *
 * Services of secrets are asked over TLS that trusts what upstreams are trusted by.
 */
import type { Clock } from '../core/clock.js';
import type { EventBody } from '../events/event.js';
import type { Trust } from '../proxy/upstream/trust.js';
import { type SecretChange, SecretFeed } from '../secrets/sources/feed.js';
import { Fetcher } from '../secrets/sources/fetcher.js';
import { askOverTls } from '../secrets/sources/https.js';
import { type Fresh, loadFresh } from '../secrets/sources/load.js';
import { type Environment, secretsUnavailable } from '../secrets/sources.js';
import type { SecretSpec } from '../secrets/spec.js';
import type { SecretSet } from '../secrets/store.js';

export interface LoadedValues {
  readonly specs: readonly SecretSpec[];
  readonly fresh: ReadonlyMap<string, Fresh>;
}

const NONE: ReadonlyMap<string, string> = new Map();

export class LiveSecrets {
  readonly #fetcher: Fetcher;
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  #feed: SecretFeed | null = null;
  #set: SecretSet = new Map();
  /** Told of every change while a policy lasts. */
  onChange: (change: SecretChange) => void = () => undefined;

  constructor(env: Environment, literals: ReadonlyMap<string, string>, trust: Trust, clock: Clock) {
    this.#clock = clock;
    this.#fetcher = new Fetcher({
      ...{ env, literals, clock, ask: askOverTls(trust.context), signal: this.#ending.signal },
    });
  }

  get set(): SecretSet {
    return this.#set;
  }

  /** Secrets that have no value now, and why. */
  get unavailable(): ReadonlyMap<string, string> {
    return this.#feed?.unavailable ?? NONE;
  }

  /** Asks every source. Throws SECRET_UNAVAILABLE with every problem; what is in force stays. */
  async load(specs: readonly SecretSpec[]): Promise<LoadedValues> {
    const fresh = await loadFresh(specs, this.#fetcher);
    if (!fresh.ok) throw secretsUnavailable(fresh.error);
    return { specs, fresh: fresh.value };
  }

  use({ specs, fresh }: LoadedValues): SecretSet {
    this.#feed?.close();
    this.#set = new Map([...fresh].map(([name, { loaded }]) => [name, loaded]));
    this.#feed = new SecretFeed(specs, fresh, {
      fetcher: this.#fetcher,
      clock: this.#clock,
      onChange: change => {
        this.#set = change.set;
        this.onChange(change);
      },
    });
    return this.#set;
  }

  close(): void {
    this.#feed?.close();
    this.#ending.abort();
  }
}

/** Names the secret and why, never what. */
export function changeFact({ secret, lost }: SecretChange): EventBody {
  const [type, message] =
    lost === null
      ? (['secret.rotated', `${secret} has a new value`] as const)
      : (['secret.lost', `${secret} has no value now`] as const);
  return { type, sandbox: null, gateway: { message, detail: lost === null ? [] : [lost] } };
}
