import { getEventListeners } from 'node:events';
import { offAbort, onAbort } from '../../src/proxy/on-abort.js';

test('onAbort tells everyone who waits, once, over one listener of the signal', () => {
  const controller = new AbortController();
  const told: number[] = [];
  for (let i = 0; i < 100; i++) onAbort(controller.signal, () => void told.push(i));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
  controller.abort();
  expect(told).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
});

test('offAbort takes one away, also from within another that is told', () => {
  const controller = new AbortController();
  const told: string[] = [];
  const third = (): void => void told.push('third');
  const gone = (): void => void told.push('gone');
  onAbort(controller.signal, gone);
  onAbort(controller.signal, () => {
    told.push('second');
    offAbort(controller.signal, third);
  });
  onAbort(controller.signal, third);
  offAbort(controller.signal, gone);
  controller.abort();
  expect(told).toEqual(['second']);
});

test('a listener that is added anew after it was taken away is told', () => {
  const controller = new AbortController();
  let told = 0;
  const listener = (): void => void told++;
  onAbort(controller.signal, listener);
  offAbort(controller.signal, listener);
  onAbort(controller.signal, listener);
  controller.abort();
  expect(told).toBe(1);
});
