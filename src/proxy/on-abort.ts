/**
 * Who is to be told when a signal fires. A connection has one signal and hundreds of requests, and to add and remove
 * an event listener for each costs more than reading its head: a signal is listened to once, and keeps a list.
 */
type Listener = () => void;

const waiting = new WeakMap<AbortSignal, Set<Listener>>();

/** Calls `listener` once when `signal` fires; the caller has looked whether it has fired already. */
export function onAbort(signal: AbortSignal, listener: Listener): void {
  let listeners = waiting.get(signal);
  if (listeners === undefined) {
    listeners = new Set();
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
  // A listener may take another one away, which then must not be called: a set that is walked sees that.
  for (const listener of waiting.get(signal) ?? []) listener();
  waiting.delete(signal);
}
