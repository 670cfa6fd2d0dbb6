import os from 'node:os';
import { measured } from '../support/collector.js';

test('the young generation grows where it is collected all the time', () => {
  const grown = measured(`
    setTimeout(() => end(young()), 20_000);
    const loop = () => { work(); if (young() > 8) end(young()); else setImmediate(loop); };
    loop();`);
  expect(grown).toBeGreaterThan(8);
  // By one step: what the engine would make of it is 32.
  expect(grown).toBeLessThanOrEqual(24);
});

test('collected very often, it grows before four seconds have gone by', () => {
  const seconds = measured(`
    import { PerformanceObserver } from 'node:perf_hooks';
    let collections = 0;
    new PerformanceObserver(list => { collections += list.getEntries().length; }).observe({ entryTypes: ['gc'] });
    const since = performance.now();
    const loop = () => {
      work();
      const seconds = (performance.now() - since) / 1_000;
      // A machine that does not get there follows the other rule.
      if (young() > 8 || seconds > 20) end(collections / seconds > 560 ? seconds : 0);
      else setImmediate(loop);
    };
    loop();`);
  expect(seconds).toBeLessThan(3.5);
}, 30_000);

test('it grows where a slower machine collects it 150 times a second', () => {
  const grown = measured(`
    setTimeout(() => end(young()), 15_000);
    setInterval(work, 10);
    setInterval(() => young() > 8 && end(young()), 100);`);
  expect(grown).toBeGreaterThan(8);
}, 30_000);

test('it stays small where little is done', () => {
  const small = measured('setInterval(work, 40); setTimeout(() => end(young()), 6_000);');
  expect(small).toBeLessThanOrEqual(4);
});

test.each([
  { name: 'few', everyMs: 40, least: 2, most: 6 },
  { name: 'many', everyMs: 10, least: 0, most: 1 },
])(
  'where $name collections are made, the telling of them rests $least to $most times',
  ({ everyMs, least, most }) => {
    const rests = measured(`
    import { PerformanceObserver } from 'node:perf_hooks';
    let rests = 0;
    const { disconnect } = PerformanceObserver.prototype;
    PerformanceObserver.prototype.disconnect = function () { rests++; return disconnect.call(this); };
    setInterval(work, ${everyMs});
    setTimeout(() => end(rests), 3_000);`);
    expect(rests).toBeGreaterThanOrEqual(least);
    expect(rests).toBeLessThanOrEqual(most);
  },
);

test('the allocator keeps as much as bulk goes through, once there is bulk', () => {
  // What is larger than the allocator's threshold stands outside of its heap, and is given back each time. The block that
  // raises it is freed by a thread that gives way: on a busy machine that takes a while.
  const heapMib = (bulk: number, enough: number): number =>
    measured(`
      import { readFileSync } from 'node:fs';
      const bulk = Array.from({ length: ${bulk} }, () => Buffer.allocUnsafeSlow(100_000));
      const large = []; // kept: one that was freed would raise the threshold by itself
      setInterval(work, 5);
      setInterval(() => {
        large.push(Buffer.allocUnsafeSlow(20 << 20));
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) .*\\[heap\\]$/m.exec(readFileSync('/proc/self/maps', 'latin1'));
        const mib = (parseInt(to, 16) - parseInt(from, 16)) / 2 ** 20;
        if (mib > ${enough} || large.length > 20) end(mib + bulk.length * 0);
      }, 1_000);`);
  expect(heapMib(0, 0)).toBeLessThan(20);
  // Ten of bulk and twenty of the large one.
  expect(heapMib(100, 28)).toBeGreaterThan(28);
}, 40_000);

test('the threads of the engine give way to the one that serves, and children do not inherit it', () => {
  const [main, least, greatest, child] = [0, 1, 2, 3].map(index =>
    measured(`
      import os from 'node:os';
      import { execFileSync } from 'node:child_process';
      import { readdirSync } from 'node:fs';
      const threads = readdirSync('/proc/self/task').map(Number).filter(thread => thread !== process.pid);
      const nice = threads.map(thread => os.getPriority(thread));
      const child = Number(execFileSync('nice', { encoding: 'utf8' }));
      end([os.getPriority(), Math.min(...nice), Math.max(...nice), child][${index}]);`),
  );
  expect({ main, child }).toEqual({ main: os.getPriority(), child: os.getPriority() });
  expect({ least, greatest }).toEqual({ least: os.getPriority() + 10, greatest: os.getPriority() + 10 });
});
