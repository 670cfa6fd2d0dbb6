import fc from 'fast-check';
import { SerialNames } from '../../src/events/serial.js';

test('each number has the text that it has anywhere', () => {
  const names = new SerialNames('r-');
  for (let number = 0; number <= 12_001; number += 1) expect(names.of(number)).toBe(`r-${number}`);
});

test('in whatever order they are asked for', () => {
  const names = new SerialNames('');
  fc.assert(fc.property(fc.maxSafeNat(), number => names.of(number) === String(number)));
});
