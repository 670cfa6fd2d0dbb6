/**
 * The way out: what of a request's head may leave, with the values in it.
 *
 * Pure. First everything is searched for leaks, in every coding; then exact placeholders are swapped, in the places
 * that each secret may stand in. A request with one leak does not leave at all.
 */
import type { Authority } from '../core/authority.js';
import { type HeaderList, isRepeated, noteRepeated } from '../core/headers.js';
import { foreignCredentials } from './credentials.js';
import { findLeaks } from './leaks.js';
import { Pass } from './pass.js';
import { allowsContent } from './place.js';
import type { Leak, Scope } from './scan.js';
import type { SandboxSecrets } from './store.js';
import { mayHoldPlaceholder } from './swap.js';

/** A request that the policy allows, as the sandbox wrote it. */
export interface Outbound {
  readonly authority: Authority;
  readonly method: string;
  /** Origin-form, query included. */
  readonly path: string;
  readonly headers: HeaderList;
  /** Hop-by-hop fields that will not be sent on: they are searched, never filled in. */
  readonly dropped?: HeaderList;
  /** `Verdict.secrets`. */
  readonly inScope: readonly string[];
  /** What the request begins, if it is more than a request: a dialogue is redacted of all that it may carry. */
  readonly upgrade?: 'websocket' | null;
}

export type Substitution = Departing | { readonly ok: false; readonly leaks: readonly Leak[] };

export interface Departing {
  readonly ok: true;
  readonly path: string;
  readonly headers: HeaderList;
  /** Names of the secrets whose values the head now holds. */
  readonly used: readonly string[];
  /** How often each of them does. */
  readonly counts: ReadonlyMap<string, number>;
  /** Those that the answer must be redacted of: of `used`, and of what content or messages may still be filled with. */
  readonly redact: readonly string[];
  /** Lower-case names of the fields that now hold a value. */
  readonly sensitive: ReadonlySet<string>;
  /** Placeholders that leave as they are, worth an event. `secret` is null where nobody's is known. */
  readonly left: readonly LeftPlaceholder[];
  /** For the content's scanner and filler. */
  readonly scope: Scope;
}

export interface LeftPlaceholder {
  readonly secret: string | null;
  readonly place: string;
}

export function substitute(secrets: SandboxSecrets, outbound: Outbound): Substitution {
  const { path, headers, upgrade } = outbound;
  const scope = secrets.scopeOf(outbound.inScope, outbound.authority.scheme);
  const leaks = findLeaks(secrets, scope, outbound);
  if (leaks.length > 0) return { ok: false, leaks };
  // What the target holds counts with what the fields hold: only where it holds nothing are they filled by themselves.
  if (upgrade || mayHoldPlaceholder(path)) return fill(secrets, scope, outbound);
  const known = secrets.filled.get(headers);
  if (known?.scope === scope) return known.path === path ? known : { ...known, path };
  const filled = fill(secrets, scope, outbound);
  if (filled.ok && isRepeated(headers)) {
    noteRepeated(filled.headers);
    secrets.filled.set(headers, filled);
  }
  return filled;
}

/** Of fields that come again this is kept: by the view, the scope and the fields, so it must depend on nothing else. */
function fill(secrets: SandboxSecrets, scope: Scope, outbound: Outbound): Substitution {
  const pass = new Pass(secrets, scope);
  const path = pass.target(outbound.path);
  const headers = pass.fields(outbound.headers);
  const faults = [
    ...pass.faults,
    ...pass.excesses(),
    ...foreignCredentials(secrets, scope, outbound.headers, headers, pass.used),
  ];
  if (faults.length > 0) return { ok: false, leaks: faults };
  return {
    ok: true,
    path,
    headers,
    used: [...pass.used.keys()],
    counts: pass.used,
    redact: redactedOf(secrets, scope, pass.used, outbound.upgrade === 'websocket'),
    sensitive: pass.sensitive,
    left: pass.left,
    scope,
  };
}

function redactedOf(
  { entries }: SandboxSecrets,
  { allowed }: Scope,
  used: ReadonlyMap<string, number>,
  isDialogue: boolean,
): readonly string[] {
  const names: string[] = [];
  for (const name of allowed) {
    const entry = entries.get(name);
    const mayCarry = isDialogue || used.has(name) || (entry !== undefined && allowsContent(entry.places));
    if (entry?.redact === true && mayCarry) names.push(name);
  }
  return names;
}
