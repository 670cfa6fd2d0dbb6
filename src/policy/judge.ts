/**
 * Deny rules, allow rules, `mode`: the part of the judgement that is the same for names and for addresses.
 *
 * Pure. The rules come as scopes, the narrowest pattern first; every deny rule is read before any allow rule.
 * `mode: shadow` is judged as `block_all`, and passes what the rules refuse with a note of it (`shadow.ts`).
 */
import { denied } from './deny.js';
import { canonicalPath, matchesPath } from './path.js';
import type { CompiledRule, PolicyMode } from './policy.js';
import type { Allow, Deny, Verdict } from './question.js';
import type { Scope } from './scope.js';
import { passedInShadow } from './shadow.js';

/** Asks whether some port may be allowed. */
export const ANY_PORT = 0;

export interface Ask {
  readonly port: number;
  /** Null: the question comes before a request is known, so rules with methods or paths may still allow. */
  readonly request: { readonly method: string; readonly path: string } | null;
  /** `via: 'tunnel'` means that no request of the connection needs to be read, web ports included. */
  readonly whole?: boolean;
}

/**
 * Which allow rules count: all; only those that name the host (`*` and the mode do not); or only those that
 * lift `block_private_ips` for the address.
 */
export type Counting = 'all' | 'named' | 'lifting';

/** Null: nothing that counts allows it, and `counting` left something out. */
export function judge(
  mode: PolicyMode,
  deny: Scope<CompiledRule> | null,
  allow: Scope<CompiledRule> | null,
  ask: Ask,
  counting: Counting,
  subject: string,
): Verdict | null {
  if (mode !== 'shadow') return judgeRules(mode, deny, allow, ask, counting, subject);
  const verdict = judgeRules('block_all', deny, allow, ask, counting, subject);
  if (verdict === null || verdict.allow) return verdict;
  if (counting !== 'all' && !isOpened(verdict, allow, ask, counting)) return verdict;
  const unread = !hasReaders(deny) && !hasReaders(allow) && (ask.whole === true || !isWebPort(ask.port));
  return passedInShadow(verdict, unread);
}

/**
 * Whether a rule opens this local name or private address at all, on this port: then only its methods or paths said
 * no. A deny rule for what is closed by default is no opening.
 */
function isOpened(
  { reason }: Deny,
  allow: Scope<CompiledRule> | null,
  ask: Ask,
  counting: Counting,
): boolean {
  return reason !== 'deny-rule' && findAllowing(allow, { ...ask, request: null }, counting).rule !== null;
}

/** Whether some rule for the host needs its requests to be read. */
function hasReaders(scopes: Scope<CompiledRule> | null): boolean {
  for (let scope = scopes; scope !== null; scope = scope.outer) {
    if (scope.rules.some(({ methods, paths }) => methods !== null || paths !== null)) return true;
  }
  return false;
}

function judgeRules(
  mode: Exclude<PolicyMode, 'shadow'>,
  deny: Scope<CompiledRule> | null,
  allow: Scope<CompiledRule> | null,
  ask: Ask,
  counting: Counting,
  subject: string,
): Verdict | null {
  const refusal = findRefusal(deny, ask, subject);
  if (refusal !== null && refusal !== 'partly') return refusal;
  const found = findAllowing(allow, ask, counting);
  const tunnel = found.tunnel && refusal !== 'partly';
  if (found.rule !== null) return allowed(found.rule.label, tunnel, found.rule.scriptBodyBytes);
  if (found.nearest !== null) return denied.near(found.nearest, subject, ask);
  if (counting !== 'all') return null;
  if (mode === 'block_all') return denied.noRule(subject, ask.port);
  return allowed('mode', refusal !== 'partly' && (ask.whole === true || !isWebPort(ask.port)), null);
}

const NO_SECRETS: readonly string[] = Object.freeze([]);

function allowed(rule: string, tunnel: boolean, scriptBodyBytes: number | null): Allow {
  const allow: Allow = { allow: true, rule, via: tunnel ? 'tunnel' : 'inspect', secrets: NO_SECRETS };
  return scriptBodyBytes === null ? allow : { ...allow, scriptBodyBytes };
}

/** `partly`: some requests of this connection are denied, so each must be read. */
function findRefusal(deny: Scope<CompiledRule> | null, ask: Ask, subject: string): Deny | 'partly' | null {
  let partly = false;
  for (let scope = deny; scope !== null; scope = scope.outer) {
    for (const rule of scope.rules) {
      if (ask.port === ANY_PORT ? !coversAll(rule) : !coversPort(rule, ask.port)) continue;
      if (rule.methods === null && rule.paths === null) return denied.byRule(rule.label, subject);
      partly = true;
      if (ask.request === null) continue;
      // A server may read `delete` as DELETE: a deny rule does too.
      if (rule.methods !== null && !rule.methods.has(ask.request.method.toUpperCase())) continue;
      const path = matchPaths(rule, ask.request.path);
      if (path === 'ambiguous') return denied.ambiguous(rule.label, subject);
      if (path === 'match') return denied.byRule(rule.label, subject);
    }
  }
  return partly ? 'partly' : null;
}

export type NearMiss = {
  readonly reason: 'port' | 'method' | 'path' | 'ambiguous';
  readonly rule: CompiledRule;
};

interface Found {
  readonly rule: CompiledRule | null;
  readonly tunnel: boolean;
  /** The rule that came closest, where none allows. */
  readonly nearest: NearMiss | null;
}

const NEARNESS = { port: 1, method: 2, path: 3, ambiguous: 4 } as const;

function findAllowing(allow: Scope<CompiledRule> | null, ask: Ask, counting: Counting): Found {
  let first: CompiledRule | null = null;
  let tunnel = false;
  let nearest: NearMiss | null = null;
  for (let scope = allow; scope !== null; scope = scope.outer) {
    if (counting === 'named' && scope.any) continue;
    for (const rule of scope.rules) {
      if (counting === 'lifting' && !rule.lifts) continue;
      const reason = missOf(rule, ask);
      if (reason === null) {
        first ??= rule;
        tunnel ||= mayTunnel(rule, ask);
        // Only before a request is known does a further rule matter: it may allow a tunnel.
        if (ask.request !== null || tunnel) return { rule: first, tunnel, nearest: null };
      } else if (nearest === null || NEARNESS[reason] > NEARNESS[nearest.reason]) nearest = { reason, rule };
    }
  }
  return { rule: first, tunnel, nearest: first === null ? nearest : null };
}

function missOf(rule: CompiledRule, { port, request }: Ask): NearMiss['reason'] | null {
  if (port !== ANY_PORT && !coversPort(rule, port)) return 'port';
  if (request === null) return null;
  if (rule.methods !== null && !rule.methods.has(request.method)) return 'method';
  const path = matchPaths(rule, request.path);
  return path === 'match' ? null : path === 'miss' ? 'path' : 'ambiguous';
}

function matchPaths({ paths }: CompiledRule, target: string): 'match' | 'miss' | 'ambiguous' {
  if (paths === null) return 'match';
  const path = canonicalPath(target);
  if (path === null) return 'ambiguous';
  return paths.some(glob => matchesPath(glob, path)) ? 'match' : 'miss';
}

function mayTunnel({ methods, paths, tunnel }: CompiledRule, { port, whole }: Ask): boolean {
  if (methods !== null || paths !== null) return false;
  return whole === true ? tunnel !== false : (tunnel ?? !isWebPort(port));
}

/** Where HTTP lives, so that nothing else may pass unless a rule says so; a look-up has no port to tunnel on. */
function isWebPort(port: number): boolean {
  return port === 80 || port === 443 || port === ANY_PORT;
}

export function coversPort({ ports }: CompiledRule, port: number): boolean {
  for (const range of ports) if (port >= range.from && port <= range.to) return true;
  return false;
}

function coversAll({ ports }: CompiledRule): boolean {
  return ports.some(range => range.from === 1 && range.to === 65_535);
}
