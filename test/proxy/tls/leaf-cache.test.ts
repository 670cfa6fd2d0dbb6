import fc from 'fast-check';
import { Lru } from '../../../src/proxy/tls/leaf-cache.js';

test('Lru forgets what a list that is searched from its end would forget', () => {
  const step = fc.record({ what: fc.constantFrom('find', 'put', 'drop'), key: fc.nat({ max: 5 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const lru = new Lru<number, number>(3);
      let model: number[] = [];
      for (const { what, key } of steps) {
        const rest = model.filter(other => other !== key);
        if (what === 'put') model = [...rest, key].slice(-3);
        else if (what === 'drop') model = rest;
        else if (model.includes(key)) model = [...rest, key];
        if (what === 'put') lru.put(key, key);
        else if (what === 'drop') lru.drop(key);
        else expect(lru.find(key)).toBe(model.includes(key) ? key : null);
        expect(lru.size).toBe(model.length);
      }
      for (const key of [0, 1, 2, 3, 4, 5]) expect(lru.find(key)).toBe(model.includes(key) ? key : null);
    }),
  );
});
