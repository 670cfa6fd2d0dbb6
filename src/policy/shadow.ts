/**
 * `mode: shadow`: the rules decide, nothing is refused for what they decide, and every verdict that would have been a
 * refusal says so. It is the step between recording what a program does and enforcing a policy on it.
 *
 * Pure. Shadow passes what *rules* refuse, never what the floor does: the gateway's own listeners, cloud metadata,
 * loopback, and private addresses and local names that no rule opens. What a secret may go to is not asked here.
 */
import type { Policy } from './policy.js';
import type { Allow, Deny, DenyReason, Verdict } from './question.js';

/** Refusals that come from rules. `not-inspectable` is not among them: what cannot be read is not let in. */
const OF_RULES: ReadonlySet<DenyReason> = new Set<DenyReason>([
  'no-rule',
  'deny-rule',
  'port-not-allowed',
  'method-not-allowed',
  'path-not-allowed',
  'path-ambiguous',
]);

/** What stands as the rule of something that only the mode let pass. */
export const SHADOW_RULE = 'mode';

/** `unread`: no rule for the host needs its requests read, so that opaque bytes may pass too. */
export function passedInShadow(denial: Deny, unread: boolean): Allow | Deny {
  const { rule, reason, hint } = denial;
  if (!OF_RULES.has(reason)) return denial;
  const via = unread ? 'tunnel' : 'inspect';
  return { allow: true, rule: SHADOW_RULE, via, secrets: [], wouldDeny: { rule, reason, hint } };
}

/** What an event says of a verdict. */
export interface Ruled {
  /** The rule that decided; with `would_deny`, the one that would have refused, or `mode`. */
  readonly rule: string | null;
  /** The refusal that was not made. */
  readonly would_deny?: DenyReason;
}

export function ruledBy(verdict: Verdict): Ruled {
  if (!verdict.allow || verdict.wouldDeny === undefined) return { rule: verdict.rule };
  const { rule, reason } = verdict.wouldDeny;
  return { rule: rule ?? SHADOW_RULE, would_deny: reason };
}

/** The same policy with its rules in force: what a shadow is compared with, and what its examples are about. */
export function enforced(policy: Policy): Policy {
  return policy.mode === 'shadow' ? { ...policy, mode: 'block_all' } : policy;
}
