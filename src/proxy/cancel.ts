/**
 * Word that nobody wants what is under way: what an `AbortSignal` says, without an event target. A request over HTTP/2
 * has a signal of its own, and Node's cost as much as reading its head, and left the collector tables to empty.
 *
 * Pure but for `abortSignalOf`, which is for Node's own functions.
 */
type Listener = () => void;

/** The part of an `AbortSignal` that the corridor asks for: one is one. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  /** `listener` is called once, when it fires; whoever adds one has looked whether it has fired already. */
  addEventListener(type: 'abort', listener: Listener, options: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: Listener): void;
}

/** The signal and whoever fires it, in one. */
export class Canceller implements CancelSignal {
  aborted = false;
  reason: unknown = undefined;
  /** Nearly always one: a request, or the content of one. */
  #one: Listener | null = null;
  /** Not a set: its tables, which are made anew as listeners come and go, would keep what has long gone. */
  #others: Listener[] | null = null;
  #controller: AbortController | null = null;

  addEventListener(_type: 'abort', listener: Listener, _options: { readonly once: true }): void {
    if (this.#one === listener) return;
    const others = this.#others ?? [];
    if (this.#one === null && others.length === 0) {
      this.#one = listener;
    } else if (!others.includes(listener)) {
      others.push(listener);
      this.#others = others;
    }
  }

  removeEventListener(_type: 'abort', listener: Listener): void {
    if (this.#one === listener) {
      this.#one = null;
      return;
    }
    const at = this.#others?.indexOf(listener) ?? -1;
    if (at >= 0) this.#others?.splice(at, 1);
  }

  /** Fires. The first reason is the one that is told. */
  abort(reason?: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const one = this.#one;
    this.#one = null;
    one?.();
    // A listener may take another one away, which then must not be called.
    for (let next = this.#others?.shift(); next !== undefined; next = this.#others?.shift()) next();
    this.#controller?.abort(reason);
  }

  /** The same as Node wants it. */
  get abortSignal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort(this.reason);
    }
    return this.#controller.signal;
  }
}

/** `signal` as Node wants it. */
export function abortSignalOf(signal: CancelSignal): AbortSignal {
  if (signal instanceof AbortSignal) return signal;
  if (signal instanceof Canceller) return signal.abortSignal;
  const controller = new AbortController();
  const fire = (): void => controller.abort(signal.reason);
  if (signal.aborted) fire();
  else signal.addEventListener('abort', fire, { once: true });
  return controller.signal;
}
