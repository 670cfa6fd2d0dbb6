/**
 * Who is to be told when a signal fires. A connection has one signal and hundreds of requests, and to add and remove
 * an event listener for each costs more than reading its head: a signal is listened to once, and keeps a list.
 */
type Listener = () => void;

/** Nearly always one: a request, or the content of one. */
class Listeners {
  #one: Listener | null = null;
  #others: Set<Listener> | null = null;

  add(listener: Listener): void {
    if (this.#one === null && (this.#others === null || this.#others.size === 0)) this.#one = listener;
    else {
      this.#others ??= new Set();
      this.#others.add(listener);
    }
  }

  delete(listener: Listener): void {
    if (this.#one === listener) this.#one = null;
    else this.#others?.delete(listener);
  }

  tell(): void {
    const one = this.#one;
    this.#one = null;
    one?.();
    // A listener may take another one away, which then must not be called: a set that is walked sees that.
    for (const listener of this.#others ?? []) listener();
  }
}

const waiting = new WeakMap<AbortSignal, Listeners>();

/** Calls `listener` once when `signal` fires; the caller has looked whether it has fired already. */
export function onAbort(signal: AbortSignal, listener: Listener): void {
  let listeners = waiting.get(signal);
  if (listeners === undefined) {
    listeners = new Listeners();
    waiting.set(signal, listeners);
    signal.addEventListener('abort', () => tell(signal), { once: true });
  }
  listeners.add(listener);
}

/** `listener` is not called any more. */
export function offAbort(signal: AbortSignal, listener: Listener): void {
  waiting.get(signal)?.delete(listener);
}

function tell(signal: AbortSignal): void {
  waiting.get(signal)?.tell();
  waiting.delete(signal);
}
