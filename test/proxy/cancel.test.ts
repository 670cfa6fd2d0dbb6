import { abortSignalOf, Canceller } from '../../src/proxy/cancel.js';

const ONCE = { once: true } as const;

test('Canceller tells everyone who waits, once, with the first reason', () => {
  const canceller = new Canceller();
  const told: number[] = [];
  for (let i = 0; i < 100; i++) canceller.addEventListener('abort', () => void told.push(i), ONCE);
  expect(canceller.aborted).toBe(false);
  canceller.abort('first');
  canceller.abort('second');
  expect(told).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(canceller).toMatchObject({ aborted: true, reason: 'first' });
});

test('Canceller does not tell those who were taken away, also from within another that is told', () => {
  const canceller = new Canceller();
  const told: string[] = [];
  const third = (): void => void told.push('third');
  const gone = (): void => void told.push('gone');
  canceller.addEventListener('abort', gone, ONCE);
  canceller.addEventListener(
    'abort',
    () => {
      told.push('second');
      canceller.removeEventListener('abort', third);
    },
    ONCE,
  );
  canceller.addEventListener('abort', third, ONCE);
  canceller.removeEventListener('abort', gone);
  canceller.abort();
  expect(told).toEqual(['second']);
});

test('Canceller tells a listener once that was added twice, or added anew', () => {
  const canceller = new Canceller();
  let told = 0;
  const listener = (): void => void told++;
  canceller.addEventListener('abort', listener, ONCE);
  canceller.removeEventListener('abort', listener);
  canceller.addEventListener('abort', listener, ONCE);
  canceller.addEventListener('abort', listener, ONCE);
  canceller.abort();
  expect(told).toBe(1);
});

test.each([
  ['before', true],
  ['after', false],
])(
  'abortSignalOf gives one AbortSignal for a Canceller, which fires as it does, asked %s',
  (_when, early) => {
    const canceller = new Canceller();
    const reason = new Error('over');
    if (early) canceller.abort(reason);
    const signal = abortSignalOf(canceller);
    expect(abortSignalOf(canceller)).toBe(signal);
    if (!early) {
      expect(signal.aborted).toBe(false);
      canceller.abort(reason);
    }
    expect(signal).toMatchObject({ aborted: true, reason });
  },
);

test('abortSignalOf gives an AbortSignal as it is, and follows whatever else is one', () => {
  const { signal } = new AbortController();
  expect(abortSignalOf(signal)).toBe(signal);
  const inner = new Canceller();
  const other = {
    get aborted() {
      return inner.aborted;
    },
    get reason() {
      return inner.reason;
    },
    addEventListener: inner.addEventListener.bind(inner),
    removeEventListener: inner.removeEventListener.bind(inner),
  };
  const followed = abortSignalOf(other);
  inner.abort('why');
  expect(followed).toMatchObject({ aborted: true, reason: 'why' });
  expect(abortSignalOf(other).aborted).toBe(true);
});
