import fc from 'fast-check';
import { createForwardedNames } from '../../src/dns/forwarded-names.js';
import { createSyntheticNames, isSynthetic } from '../../src/dns/names.js';
import { address, hostname } from './support.js';

const numbered = (i: number) => hostname(`n${i}.test`);

function pairOf(names: ReturnType<typeof createSyntheticNames>, name: string, nowMs: number) {
  const pair = names.addressesOf(hostname(name), nowMs);
  if (!pair.ok) throw new Error(pair.error);
  return pair.value;
}

test('a name has one IPv4 and one IPv6 address, the same each time, and each leads back to it', () => {
  const names = createSyntheticNames();
  const { ipv4, ipv6 } = pairOf(names, 'a.test', 0);
  expect([ipv4.text, ipv6.text]).toEqual(['198.18.0.1', '2001:2::1']);
  expect(pairOf(names, 'a.test', 10_000_000)).toEqual({ ipv4, ipv6 });
  expect([names.nameOf(ipv4), names.nameOf(ipv6)]).toEqual(['a.test', 'a.test']);
});

const strangers = [
  '198.18.0.2',
  '198.19.255.1',
  '198.17.255.255',
  '198.20.0.0',
  '192.0.2.1',
  '2001:2::2',
  '2001:2:0:ffff::1',
  '2001:2::1:0:0:1',
  '2001:3::1',
  '::1',
  '::ffff:198.18.0.1',
];
test.each(strangers)('%s, which was not given out, has no name', text => {
  const names = createSyntheticNames();
  pairOf(names, 'a.test', 0);
  names.retain(address(text));
  names.release(address(text));
  expect(names.nameOf(address(text))).toBeNull();
});

test('no address lies in the blocks of the inner door, though every slot is used up', () => {
  const names = createSyntheticNames(3);
  let nowMs = 0;
  const seen = new Set<string>();
  for (let i = 0; i < 131_000; i++) {
    nowMs += 60_000;
    const { ipv4 } = pairOf(names, `n${i}.test`, nowMs);
    if (ipv4.text.startsWith('198.19.255.') || !isSynthetic(ipv4)) throw new Error(ipv4.text);
    seen.add(ipv4.text);
  }
  expect(seen.size).toBe(130_814);
  expect(pairOf(names, 'last.test', nowMs + 60_000).ipv6.text).toBe('2001:2::bb');
});

test('an address is not given to another name before its TTL has run out', () => {
  const names = createSyntheticNames(2);
  pairOf(names, 'a.test', 0);
  pairOf(names, 'b.test', 30_000);
  expect(names.addressesOf(hostname('c.test'), 59_999)).toEqual({ ok: false, error: 'full' });
  expect(pairOf(names, 'c.test', 60_000).ipv4.text).not.toMatch(/^198\.18\.0\.[12]$/);
  expect(names.nameOf(address('198.18.0.1'))).toBeNull();
  expect(names.nameOf(address('198.18.0.2'))).toBe('b.test');
});

test('an address keeps its name while a flow uses it, and loses it some time after the last release', () => {
  const names = createSyntheticNames(1);
  const { ipv4, ipv6 } = pairOf(names, 'a.test', 0);
  names.retain(ipv4);
  names.retain(ipv6);
  names.release(ipv4);
  expect(names.addressesOf(hostname('b.test'), 1_000_000)).toEqual({ ok: false, error: 'full' });
  expect(names.nameOf(ipv4)).toBe('a.test');
  names.release(ipv6);
  expect(names.addressesOf(hostname('b.test'), 1_060_000).ok).toBe(true);
  expect(names.nameOf(ipv4)).toBeNull();
});

test('a name whose TTL has run out stays while there is room, for a program that keeps the answer', () => {
  const names = createSyntheticNames();
  const { ipv4 } = pairOf(names, 'a.test', 0);
  for (let i = 0; i < 1000; i++) names.addressesOf(numbered(i), 3_600_000);
  expect(names.nameOf(ipv4)).toBe('a.test');
  for (let i = 0; i < 5000; i++) names.addressesOf(numbered(i), 7_200_000);
  expect(names.nameOf(ipv4)).toBeNull();
});

test('whatever is asked, retained and released, no address ever stands for two names in their time', () => {
  const step = fc.record({
    name: fc.nat(8),
    passMs: fc.nat(50_000),
    act: fc.constantFrom('ask', 'retain', 'release'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const names = createSyntheticNames(4);
      const owners = new Map<string, { name: string; untilMs: number }>();
      let nowMs = 0;
      for (const { name, passMs, act } of steps) {
        nowMs += passMs;
        const pair = names.addressesOf(numbered(name), nowMs);
        if (!pair.ok) continue;
        const { ipv4 } = pair.value;
        const before = owners.get(ipv4.text);
        if (before !== undefined && before.untilMs > nowMs) expect(before.name).toBe(numbered(name));
        owners.set(ipv4.text, { name: numbered(name), untilMs: nowMs + 60_000 });
        if (act !== 'ask') names[act](ipv4);
        expect(names.nameOf(ipv4)).toBe(numbered(name));
      }
    }),
    { seed: 53, numRuns: 300 },
  );
});

test('a forwarded address belongs to the name that was asked for last', () => {
  const names = createForwardedNames(2);
  const shared = address('192.0.2.1');
  expect(names.learn(shared, hostname('a.test'), 0)).toBe(true);
  expect(names.learn(shared, hostname('b.test'), 1)).toBe(true);
  expect(names.nameOf(shared)).toBe('b.test');
});

test('a forwarded address is not forgotten in its time, nor while a flow uses it', () => {
  const names = createForwardedNames(1);
  const first = address('192.0.2.1');
  const second = address('192.0.2.2');
  names.learn(first, hostname('a.test'), 0);
  expect(names.learn(second, hostname('b.test'), 299_999)).toBe(false);
  names.retain(first);
  expect(names.learn(second, hostname('b.test'), 300_000)).toBe(false);
  names.release(first);
  expect(names.learn(second, hostname('b.test'), 600_000)).toBe(true);
  expect(names.nameOf(first)).toBeNull();
});
