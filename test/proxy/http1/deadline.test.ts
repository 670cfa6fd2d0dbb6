import { Deadline } from '../../../src/proxy/http1/deadline.js';

/** Jest's timers, and a clock that follows them. */
function rig() {
  jest.useFakeTimers();
  const start = Date.now();
  const clock = { now: () => Date.now(), monotonic: () => Date.now() - start };
  const fired: number[] = [];
  const deadline = new Deadline(clock, () => fired.push(clock.monotonic()));
  return { deadline, fired };
}

afterEach(() => jest.useRealTimers());

test('a deadline that is moved on expires when it was last due', () => {
  const { deadline, fired } = rig();
  deadline.set(100);
  jest.advanceTimersByTime(60);
  deadline.set(100);
  jest.advanceTimersByTime(200);
  expect(fired).toEqual([160]);
});

test('a deadline that is moved nearer expires earlier', () => {
  const { deadline, fired } = rig();
  deadline.set(1000);
  deadline.set(10);
  jest.advanceTimersByTime(2000);
  expect(fired).toEqual([10]);
});

test('a cleared deadline never expires, and can be set again', () => {
  const { deadline, fired } = rig();
  deadline.set(100);
  deadline.clear();
  jest.advanceTimersByTime(500);
  deadline.set(50);
  jest.advanceTimersByTime(500);
  expect(fired).toEqual([550]);
});

test('a closed deadline leaves no timer behind', () => {
  const { deadline } = rig();
  deadline.set(100);
  deadline.close();
  expect(jest.getTimerCount()).toBe(0);
});
