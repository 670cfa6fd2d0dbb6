/**
 * What outlives the decision that let it in: tunnels and WebSockets, whose bytes ask no more questions. A reload asks
 * about each of them again, and ends those that the new policy would not have let in (threats C3, P7).
 *
 * Pure but for the signals.
 */
import type { Policy } from '../policy/policy.js';
import type { Deny } from '../policy/question.js';
import type { CancelSignal } from './cancel.js';

/** Why `policy` would not let it in now, or null. Must not throw. */
export type AskAgain = (policy: Policy | null) => Deny | null;

export interface Stay {
  /** Fires when a policy denies it, or all traffic of the sandbox ends. */
  readonly signal: AbortSignal;
  /** Of the policy that ended it; null: none has. */
  readonly denied: Deny | null;
  /** It has ended. */
  leave(): void;
}

export class Standing {
  readonly #closing: CancelSignal;
  readonly #stays = new Set<Member>();
  /** The last policy that was asked; undefined: none but the first was ever in force. */
  #policy: Policy | null | undefined;

  /** `closing` ends every stay. */
  constructor(closing: CancelSignal) {
    this.#closing = closing;
  }

  /** `decidedBy` let it in: where another policy has come since, that one is asked at once. */
  enter(askAgain: AskAgain, decidedBy: Policy | null): Stay {
    const stay = new Member(askAgain, this.#closing, () => this.#stays.delete(stay));
    this.#stays.add(stay);
    if (this.#policy !== undefined && this.#policy !== decidedBy) stay.judge(this.#policy);
    return stay;
  }

  /** `policy` is in force from now on. */
  reconsider(policy: Policy | null): void {
    this.#policy = policy;
    for (const stay of this.#stays) stay.judge(policy);
  }
}

class Member implements Stay {
  denied: Deny | null = null;
  readonly #askAgain: AskAgain;
  readonly #closing: CancelSignal;
  readonly #onLeave: () => void;
  readonly #end = new AbortController();
  readonly #close = (): void => this.#end.abort(this.#closing.reason);

  constructor(askAgain: AskAgain, closing: CancelSignal, onLeave: () => void) {
    this.#askAgain = askAgain;
    this.#closing = closing;
    this.#onLeave = onLeave;
    if (closing.aborted) this.#close();
    else closing.addEventListener('abort', this.#close, { once: true });
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  judge(policy: Policy | null): void {
    if (this.denied !== null) return;
    this.denied = this.#askAgain(policy);
    if (this.denied !== null) this.#end.abort();
  }

  leave(): void {
    this.#closing.removeEventListener('abort', this.#close);
    this.#onLeave();
  }
}
