/**
 * Leaks: a placeholder, or a value, on its way to where it may not go.
 *
 * Pure. `scanText` is for heads, `BodyScanner` for content that arrives in pieces.
 */
import { Carry } from './carry.js';
import type { ForeignScanner } from './foreign.js';
import type { Hit } from './look.js';
import type { PlaceholderOwner } from './placeholder.js';
import type { Spelling, Subject, Watch } from './watch.js';

export type LeakReason =
  | 'out-of-scope' // a placeholder for a host that the secret is not for
  | 'plain-http' // the host is right, the connection would not be encrypted
  | 'forbidden-place' // never into Host, method, field names, framing, path, or past the secret's `in`
  | 'too-many' // more often than `max_occurrences`
  | 'value' // the real value, towards a host that the secret is not for
  | 'retired' // a value that was rotated out, or a secret that was taken away
  | 'foreign' // another sandbox's placeholder
  | 'not-ours' // `require_placeholder`: a credential that the sandbox brought itself
  | 'undecodable'; // content whose declared coding cannot be undone within bounds

export interface Leak {
  /** Name of the secret, never its value. Empty for `undecodable`: nobody knows. */
  readonly secret: string;
  /** `header:x-api-key`, `name`, `path`, `query`, `body`, `trailer:x`, `host`, `method`, `websocket`. */
  readonly place: string;
  readonly encoding: Spelling;
  readonly reason: LeakReason;
  /** `foreign`: for whom the placeholder was made. */
  readonly owner?: PlaceholderOwner;
}

/** Which of a sandbox's secrets may leave with one request. */
export interface Scope {
  /** The secrets that the verdict names and the connection may carry. */
  readonly allowed: ReadonlySet<string>;
  /** Those that the verdict names but the connection may not carry: plain http. */
  readonly plain: ReadonlySet<string>;
}

export const NO_SCOPE: Scope = Object.freeze({ allowed: new Set<string>(), plain: new Set<string>() });

export function isLeak({ kind, secret }: Subject, scope: Scope): boolean {
  return kind === 'retired' || !scope.allowed.has(secret);
}

export function reasonOf({ kind, secret }: Subject, { allowed, plain }: Scope): LeakReason {
  if (kind === 'retired') return 'retired';
  if (allowed.has(secret)) return 'forbidden-place';
  if (kind === 'value') return 'value';
  return plain.has(secret) ? 'plain-http' : 'out-of-scope';
}

/** The first leak in one piece of text, one character a byte. */
export function scanText(watch: Watch, scope: Scope, text: string, place: string): Leak | null {
  const bytes = Buffer.from(text, 'latin1');
  return leakOf(
    watch,
    scope,
    watch.hits(bytes, subject => isLeak(subject, scope)),
    bytes,
    place,
  );
}

/** The first of `hits`, which were found in `bytes`. */
function leakOf(
  watch: Watch,
  scope: Scope,
  hits: readonly Hit[],
  bytes: Uint8Array,
  place: string,
): Leak | null {
  const [hit] = hits;
  if (hit === undefined) return null;
  const { subject } = watch.mark(hit);
  return {
    secret: subject.secret,
    place,
    encoding: watch.spelling(hit, bytes),
    reason: reasonOf(subject, scope),
  };
}

/** What may go on, and what was found. After a leak nothing more may go on. */
export interface ScanStep {
  readonly forward: Uint8Array;
  readonly leak: Leak | null;
}

const NOTHING = new Uint8Array(0);

/**
 * Reads content in pieces and says which bytes may go on: everything but what may be the beginning of a match. A
 * leak does not depend on how the content was cut.
 */
export class BodyScanner {
  readonly #watch: Watch;
  readonly #scope: Scope;
  readonly #place: string;
  readonly #foreign: ForeignScanner | null;
  readonly #carry = new Carry();

  /** `foreign` looks for other sandboxes' placeholders too; null: there are none. */
  constructor(watch: Watch, scope: Scope, place: string, foreign: ForeignScanner | null = null) {
    this.#watch = watch;
    this.#scope = scope;
    this.#place = place;
    this.#foreign = foreign;
  }

  push(chunk: Uint8Array): ScanStep {
    const strange = this.#foreign?.push(chunk) ?? null;
    if (strange !== null) return { forward: NOTHING, leak: strange };
    if (this.#watch.empty) return { forward: chunk, leak: null };
    const bytes = this.#carry.join(chunk);
    const seen = this.#watch.look(bytes, subject => isLeak(subject, this.#scope));
    if (seen.hits.length > 0) {
      return { forward: NOTHING, leak: leakOf(this.#watch, this.#scope, seen.hits, bytes, this.#place) };
    }
    const { sent } = this.#carry;
    const forward = this.#carry.part(sent, seen.hold);
    this.#carry.settle(seen.keep, Math.max(sent, seen.hold));
    return { forward, leak: null };
  }

  /** Some of what came has not gone on. */
  get holds(): boolean {
    return this.#carry.holds;
  }

  /** The bytes that were held and turned out to be none. */
  end(): Uint8Array {
    return this.#carry.end();
  }
}
