import { measured } from '../support/collector.js';

// The engine makes it small after some seconds with nothing to do.
test('what was grown, and became small while nothing was done, grows again at once', () => {
  const mild = 'setInterval(work, 10)';
  // Not so soon for the first time.
  expect(measured(`${mild}; setTimeout(() => end(young()), 2_500);`)).toBeLessThanOrEqual(4);
  const again = measured(`
    setTimeout(() => end(young()), 50_000).unref();
    let left = 100;
    const grow = () => { work(); if (young() > 8 && left-- === 0) rest(); else setImmediate(grow); };
    const rest = () => {
      const look = setInterval(() => {
        if (young() > 4) return;
        clearInterval(look);
        ${mild};
        setInterval(() => young() > 8 && end(young()), 20);
        setTimeout(() => end(young()), 2_500);
      }, 200);
    };
    setInterval(() => undefined, 1_000);
    grow();`);
  expect(again).toBeGreaterThan(8);
}, 60_000);
