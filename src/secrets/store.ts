/**
 * Which placeholder stands for which value, per sandbox. The store is the gateway's; a `SandboxSecrets` is one
 * sandbox's view of it, immutable and replaced whole, so that one request sees one state.
 *
 * Pure: no clock, no file, no randomness (the key and the run are given).
 */

import type { Scheme } from '../core/authority.js';
import type { HeaderList } from '../core/headers.js';
import type { Place } from './place.js';
import { mintPlaceholder, type PlaceholderOwner } from './placeholder.js';
import { NO_SCOPE, type Scope } from './scan.js';
import { reveal, type Secret } from './secret.js';
import type { SigningSpec } from './signing/spec.js';
import type { Departing } from './substitute.js';
import { type Subject, Watch } from './watch.js';

/** A secret whose value is there, and what may be done with it. */
export interface LoadedSecret {
  readonly secret: Secret;
  /** Null: one is minted for each sandbox and run. */
  readonly placeholder: string | null;
  readonly places: readonly Place[];
  /** `in` was given: a placeholder anywhere else is refused, not left as it is. */
  readonly pinned: boolean;
  readonly allowHttp: boolean;
  /** How often one request may carry it; null: any number. */
  readonly maxOccurrences: number | null;
  /** Answers are redacted: value → placeholder. */
  readonly redact: boolean;
  /** Requests to its hosts must carry the placeholder, and no credential of the sandbox's own. */
  readonly requirePlaceholder: boolean;
  /** A key that signs requests and stands in none. */
  readonly sign?: SigningSpec | null;
}

/** By name. Replaced whole when something is rotated. */
export type SecretSet = ReadonlyMap<string, LoadedSecret>;

/** A secret as one sandbox knows it. */
export interface Entry extends LoadedSecret {
  readonly name: string;
  readonly placeholder: string;
}

/** What may not leave any more. */
interface Retired {
  readonly secret: string;
  readonly text: string;
}

interface Sources {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly retired: readonly Retired[];
  readonly foreignOwner: (placeholder: string) => PlaceholderOwner | null;
  readonly mayMeetForeign: () => boolean;
  /** What finds the values of some of `entries`, by their names: the same for all sandboxes that have the same secrets. */
  readonly values: Map<string, Watch>;
}

/** Watches that differ by which secrets a flow carries: few in practice, bounded in any case. */
const MAX_WATCHES = 64;

export class SandboxSecrets {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly byPlaceholder: ReadonlyMap<string, Entry>;
  /** Finds every placeholder and value of this sandbox, and whatever was retired. */
  readonly watch: Watch;
  /** Nothing was retired: a request that all secrets may go with cannot leak. */
  readonly settled: boolean;
  /** The owner of another sandbox's placeholder; null: it is this one's, or nobody's. */
  readonly foreignOwner: (placeholder: string) => PlaceholderOwner | null;
  /** Another sandbox has placeholders: what this one sends must be looked at for them. */
  readonly mayMeetForeign: () => boolean;
  /** Some secret signs requests: each must be looked at for a signature. */
  readonly mayMeetSigning: boolean;
  /**
   * By lists of fields that come again and again: with the values in them. Kept here, so that no value outlives the view
   * that it was in force with.
   */
  readonly filled = new WeakMap<HeaderList, Departing>();
  readonly #values: Map<string, Watch>;
  /** By the list that a verdict gives: the judge gives the same one again and again. */
  readonly #scopes = {
    http: new WeakMap<readonly string[], Scope>(),
    https: new WeakMap<readonly string[], Scope>(),
  };
  #all: Watch | null = null;

  constructor({ entries, retired, foreignOwner, mayMeetForeign, values }: Sources) {
    this.entries = entries;
    this.#values = values;
    this.byPlaceholder = new Map([...entries.values()].map(entry => [entry.placeholder, entry]));
    this.settled = retired.length === 0;
    this.foreignOwner = foreignOwner;
    this.mayMeetForeign = mayMeetForeign;
    this.mayMeetSigning = [...entries.values()].some(({ sign }) => sign != null);
    this.watch = new Watch([
      ...[...entries.values()].flatMap(subjectsOf),
      ...retired.map(({ secret, text }): Subject => ({ secret, kind: 'retired', text })),
    ]);
  }

  /** Nothing to substitute, to scan for, or to redact. */
  get empty(): boolean {
    return this.entries.size === 0 && this.settled;
  }

  placeholderOf(name: string): string {
    return this.entries.get(name)?.placeholder ?? `<secret ${name}>`;
  }

  /** Finds all values, for what an operator reads. */
  get allValues(): Watch {
    this.#all ??= this.valuesOf([...this.entries.keys()]);
    return this.#all;
  }

  /** Which of the secrets that a verdict names may leave over `scheme`. The same list gives the same scope. */
  scopeOf(inScope: readonly string[], scheme: Scheme): Scope {
    if (inScope.length === 0) return NO_SCOPE;
    const known = this.#scopes[scheme].get(inScope);
    if (known !== undefined) return known;
    const allowed = new Set<string>();
    const plain = new Set<string>();
    for (const name of inScope) {
      const entry = this.entries.get(name);
      if (entry === undefined) continue;
      if (scheme === 'https' || entry.allowHttp) allowed.add(name);
      else plain.add(name);
    }
    const scope = { allowed, plain };
    this.#scopes[scheme].set(inScope, scope);
    return scope;
  }

  /** Finds the values of these secrets, for redaction. */
  valuesOf(names: readonly string[]): Watch {
    const key = names.length === 1 ? (names[0] ?? '') : [...names].sort().join(' ');
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const watch = new Watch(
      names.flatMap(name => {
        const entry = this.entries.get(name);
        return entry === undefined ? [] : subjectsOf(entry).filter(({ kind }) => kind === 'value');
      }),
    );
    if (this.#values.size >= MAX_WATCHES) this.#values.clear();
    this.#values.set(key, watch);
    return watch;
  }
}

function subjectsOf({ name, placeholder, secret }: Entry): Subject[] {
  return [
    { secret: name, kind: 'placeholder', text: placeholder },
    { secret: name, kind: 'value', text: reveal(secret) },
  ];
}

export const NO_SECRETS = new SandboxSecrets({
  entries: new Map(),
  retired: [],
  foreignOwner: () => null,
  mayMeetForeign: () => false,
  values: new Map(),
});

/** The gateway's own view of all values. No sandbox is given a placeholder of it. */
export const CENSOR = '\u0000censor';

interface Tenant {
  readonly set: SecretSet;
  readonly placeholders: ReadonlyMap<string, string>;
  readonly retired: readonly Retired[];
}

export class SecretStore {
  readonly #key: Uint8Array;
  readonly #run: string;
  readonly #tenants = new Map<string, Tenant>();
  readonly #owners = new Map<string, PlaceholderOwner>();
  /** A hundred sandboxes with tables of their own would have none of them in the processor's cache. */
  readonly #values = new WeakMap<SecretSet, Map<string, Watch>>();

  /** `key`: 32 random bytes; `run`: unique to this life of the gateway. */
  constructor(key: Uint8Array, run: string) {
    this.#key = key;
    this.#run = run;
  }

  /**
   * Makes the sandbox's view, or replaces it: a name that stays keeps its placeholder, a value that changed and a
   * secret that is gone are retired.
   */
  forSandbox(sandbox: string, set: SecretSet): SandboxSecrets {
    const before = this.#tenants.get(sandbox);
    const placeholders = new Map(before?.placeholders ?? []);
    for (const [secret, { placeholder: given }] of set) {
      const owner = { run: this.#run, sandbox, secret };
      const placeholder = placeholders.get(secret) ?? given ?? mintPlaceholder(this.#key, owner);
      placeholders.set(secret, placeholder);
      if (sandbox !== CENSOR) this.#owners.set(placeholder, owner);
    }
    const tenant = { set, placeholders, retired: retiredNow(before, set, placeholders) };
    this.#tenants.set(sandbox, tenant);
    return this.#view(sandbox, tenant);
  }

  #view(sandbox: string, { set, placeholders, retired }: Tenant): SandboxSecrets {
    const entries = new Map<string, Entry>();
    for (const [name, loaded] of set) {
      entries.set(name, { ...loaded, name, placeholder: placeholders.get(name) ?? '' });
    }
    // A placeholder that an operator chose may be that of several sandboxes.
    const own = new Set(placeholders.values());
    const foreignOwner = (placeholder: string): PlaceholderOwner | null => {
      const owner = own.has(placeholder) ? undefined : this.#owners.get(placeholder);
      return owner !== undefined && owner.sandbox !== sandbox ? owner : null;
    };
    const mayMeetForeign = (): boolean => this.#owners.size > own.size;
    return new SandboxSecrets({
      entries,
      retired,
      foreignOwner,
      mayMeetForeign,
      values: this.#valuesOf(set),
    });
  }

  #valuesOf(set: SecretSet): Map<string, Watch> {
    let values = this.#values.get(set);
    if (values === undefined) {
      values = new Map();
      this.#values.set(set, values);
    }
    return values;
  }

  /** For whom a live placeholder was made. */
  owner(placeholder: string): PlaceholderOwner | null {
    return this.#owners.get(placeholder) ?? null;
  }

  /** Everything made so far for one sandbox, or for all, for the ledger. */
  owners(sandbox?: string): PlaceholderOwner[] {
    const all = [...this.#owners.values()];
    return sandbox === undefined ? all : all.filter(owner => owner.sandbox === sandbox);
  }

  /** The sandbox has ended. Its placeholders stay known, so that another sandbox that shows one is noticed. */
  release(sandbox: string): void {
    this.#tenants.delete(sandbox);
  }
}

function retiredNow(
  before: Tenant | undefined,
  set: SecretSet,
  placeholders: ReadonlyMap<string, string>,
): Retired[] {
  const retired = new Map<string, Retired>();
  for (const one of before?.retired ?? []) retired.set(one.text, one);
  for (const [secret, loaded] of before?.set ?? []) {
    const text = reveal(loaded.secret);
    retired.set(text, { secret, text });
  }
  for (const [secret, text] of placeholders) if (!set.has(secret)) retired.set(text, { secret, text });
  // What is in use is not retired, even if it was once.
  for (const [secret, loaded] of set) {
    retired.delete(reveal(loaded.secret));
    retired.delete(placeholders.get(secret) ?? '');
  }
  return newest([...retired.values()]);
}

/** Tokens that are renewed every hour would make the watch longer for ever: of each secret the last ones are kept. */
const KEPT_RETIRED = 32;

function newest(retired: readonly Retired[]): Retired[] {
  const counts = new Map<string, number>();
  const kept = retired.toReversed().filter(({ secret }) => {
    const count = (counts.get(secret) ?? 0) + 1;
    counts.set(secret, count);
    return count <= KEPT_RETIRED;
  });
  return kept.reverse();
}
