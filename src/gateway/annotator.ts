/**
 * Lets a script write beside the events of its sandbox. An event waits for that, and those behind it wait too, so that
 * their order stays; none is ever lost or changed otherwise.
 */
import type { Emit, EventBody } from '../events/event.js';
import { type RedactText, redactEvent } from '../events/redact.js';
import type { PolicyScript } from '../policy/hooks.js';

/** Events that may wait: beyond that they go out as they are. */
const MAX_WAITING = 1_000;

/** Failures in a row of the hook are told once. */
const FAILED = 'the policy script has failed to annotate events';

export interface AnnotatorOptions {
  /** Where events go from here. */
  readonly emit: Emit;
  /** A script is shown no more than a log is. */
  readonly redact: RedactText;
  readonly script: () => PolicyScript | null;
}

export class Annotator {
  readonly #emit: Emit;
  readonly #redact: RedactText;
  readonly #script: () => PolicyScript | null;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failing = false;

  constructor({ emit, redact, script }: AnnotatorOptions) {
    this.#emit = emit;
    this.#redact = redact;
    this.#script = script;
  }

  readonly emit: Emit = body => {
    const hook = this.#script()?.onEvent ?? null;
    if (this.#waiting === 0 && (hook === null || body.network === undefined)) return this.#emit(body);
    this.#waiting += 1;
    const notes = hook === null || this.#waiting > MAX_WAITING ? null : this.#ask(hook, body);
    this.#last = this.#last.then(async () => {
      const annotations = (await notes) ?? [];
      this.#waiting -= 1;
      this.#emit(withNotes(body, annotations));
    });
  };

  /** Resolves when every event that was given is out. */
  async drain(): Promise<void> {
    await this.#last;
  }

  async #ask(hook: NonNullable<PolicyScript['onEvent']>, body: EventBody): Promise<readonly string[]> {
    if (body.network === undefined) return [];
    const answer = await hook(redactEvent(body, this.#redact));
    if (!('kind' in answer)) {
      this.#failing = false;
      return answer;
    }
    if (!this.#failing) {
      const gateway = { message: FAILED, detail: [answer.code, answer.reason] };
      this.#emit({ type: 'script.failed', sandbox: body.sandbox, gateway });
    }
    this.#failing = true;
    return [];
  }
}

function withNotes(body: EventBody, annotations: readonly string[]): EventBody {
  if (annotations.length === 0 || body.network === undefined) return body;
  return { ...body, network: { ...body.network, annotations } };
}
