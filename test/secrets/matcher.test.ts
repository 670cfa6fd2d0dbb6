import fc from 'fast-check';
import { fold, Matcher } from '../../src/secrets/matcher.js';

const SEED = { seed: 20_264, numRuns: 500 };

// Few letters, so that needles overlap, repeat and begin one another.
const text = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(fc.constantFrom(...'aAb-+_/9'), { minLength, maxLength })
    .map(letters => Buffer.from(letters.join('')));

function naive(needles: readonly Uint8Array[], bytes: Uint8Array): string[] {
  const hay = Buffer.from(fold(bytes)).toString('latin1');
  return needles.flatMap((needle, number) => {
    const sought = Buffer.from(fold(needle)).toString('latin1');
    const found: string[] = [];
    for (let at = hay.indexOf(sought); at >= 0; at = hay.indexOf(sought, at + 1)) {
      found.push(`${number}@${at}-${at + sought.length}`);
    }
    return found;
  });
}

test('find gives what a search for one needle after the other gives', () => {
  fc.assert(
    fc.property(fc.array(text(2, 9), { maxLength: 12 }), text(0, 120), (needles, bytes) => {
      const found: string[] = [];
      new Matcher(needles).find(bytes, (needle, start, end) => found.push(`${needle}@${start}-${end}`));
      expect(found.sort()).toEqual(naive(needles, bytes).sort());
    }),
    SEED,
  );
});

test('liveFrom gives the longest tail that a needle begins with', () => {
  fc.assert(
    fc.property(fc.array(text(2, 9), { maxLength: 12 }), text(0, 40), (needles, bytes) => {
      const hay = Buffer.from(fold(bytes)).toString('latin1');
      const heads = needles.map(needle => Buffer.from(fold(needle)).toString('latin1'));
      let want = hay.length;
      for (let at = hay.length - 1; at >= 0; at--) {
        const tail = hay.slice(at);
        if (heads.some(head => head.length > tail.length && head.startsWith(tail))) want = at;
      }
      expect(new Matcher(needles).liveFrom(bytes)).toBe(want);
    }),
    SEED,
  );
});

test('a matcher of nothing finds nothing', () => {
  const matcher = new Matcher([]);
  matcher.find(Buffer.from('anything'), () => expect(true).toBe(false));
  expect(matcher.liveFrom(Buffer.from('anything'))).toBe(8);
});

test('a needle of one byte is a bug of the caller', () => {
  expect(() => new Matcher([Uint8Array.of(1)])).toThrow(RangeError);
});

test('mayStandIn never says no where find finds something', () => {
  fc.assert(
    fc.property(fc.array(text(2, 9), { maxLength: 12 }), text(0, 120), (needles, bytes) => {
      let found = 0;
      const matcher = new Matcher(needles);
      matcher.find(bytes, () => found++);
      const may = matcher.mayStandIn(Buffer.from(bytes).toString('latin1'));
      expect(may || found === 0).toBe(true);
    }),
    SEED,
  );
});

test('mayStandIn says no to text that shares nothing with the needles', () => {
  const matcher = new Matcher([Buffer.from('GWPH_0123456789abcdef'), Buffer.from('sk-live-0123456789')]);
  for (const text of ['', 'application/json', '/v1/models/list', 'Mozilla/5.0 (X11; Linux x86_64)']) {
    expect(matcher.mayStandIn(text)).toBe(false);
  }
});
