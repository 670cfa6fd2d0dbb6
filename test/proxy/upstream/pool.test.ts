import fc from 'fast-check';
import type { HttpConnection } from '../../../src/proxy/connection.js';
import { Pool, type Pooled, type PoolLimits } from '../../../src/proxy/upstream/pool.js';
import { ip } from './support.js';

const LIMITS: PoolLimits = { maxIdle: 4, maxIdlePerKey: 2, idleMs: 100, maxAgeMs: 1_000 };

interface FakeConnection extends HttpConnection {
  ready: boolean;
  closed: boolean;
}

function connection(protocol: HttpConnection['protocol'] = 'http/1.1'): FakeConnection {
  return {
    protocol,
    ready: true,
    closed: false,
    send: () => Promise.reject(new Error('not used')),
    close() {
      this.closed = true;
      this.ready = false;
    },
  };
}

function add(
  pool: Pool,
  key: string,
  openedAt: number,
  protocol?: HttpConnection['protocol'],
  sandbox = 'a',
): Pooled {
  const dialled = { address: ip('203.0.113.7'), port: 443 };
  return pool.add({ key, sandbox, connection: connection(protocol), dialled, openedAt });
}

test('an HTTP/1 connection is taken by one at a time, the last used first', () => {
  const pool = new Pool(LIMITS);
  const [one, two] = [add(pool, 'k', 0), add(pool, 'k', 0)];
  expect(pool.take('k', 0)).toBeNull();
  pool.release(one, 1);
  pool.release(two, 2);
  expect(pool.take('k', 3)).toBe(two);
  expect(pool.take('k', 3)).toBe(one);
  expect(pool.take('k', 3)).toBeNull();
});

test('an HTTP/2 connection is taken by many while it is ready', () => {
  const pool = new Pool(LIMITS);
  const entry = add(pool, 'k', 0, 'h2');
  expect(pool.take('k', 0)).toBe(entry);
  expect(pool.take('k', 0)).toBe(entry);
  (entry.connection as FakeConnection).ready = false;
  expect(pool.take('k', 0)).toBeNull();
  expect(pool.idleCount).toBe(0);
});

test('a connection is only for its key', () => {
  const pool = new Pool(LIMITS);
  pool.release(add(pool, 'k', 0), 0);
  expect(pool.take('other', 0)).toBeNull();
});

const unusable: [name: string, spoil: (entry: Pooled) => void, at: number][] = [
  ['that closed', entry => entry.connection.close(), 1],
  ['that was idle for too long', () => {}, 101],
  [
    'that is too old',
    entry => {
      entry.idleSince = 1_050;
    },
    1_100,
  ],
];

for (const [name, spoil, at] of unusable) {
  for (const protocol of ['http/1.1', 'h2'] as const) {
    test(`a connection by ${protocol} ${name} is closed and not taken`, () => {
      const pool = new Pool(LIMITS);
      const entry = add(pool, 'k', 0, protocol);
      pool.release(entry, 0);
      spoil(entry);
      expect(pool.take('k', at)).toBeNull();
      expect(entry.connection.closed).toBe(true);
      expect(pool.openCount).toBe(0);
    });
  }
}

test('an HTTP/2 connection that is too old takes no request, and closes after its last', () => {
  const pool = new Pool(LIMITS);
  const entry = add(pool, 'k', 0, 'h2');
  expect(pool.take('k', 1_001)).toBeNull();
  expect(entry.connection.closed).toBe(false);
  pool.release(entry, 1_002);
  expect(entry.connection.closed).toBe(true);
});

test('a connection that is not ready when its request ends is closed', () => {
  const pool = new Pool(LIMITS);
  const entry = add(pool, 'k', 0);
  (entry.connection as FakeConnection).ready = false;
  pool.release(entry, 1);
  expect(entry.connection.closed).toBe(true);
  expect(pool.openCount).toBe(0);
});

test('no more connections are idle per key, or in all, than allowed', () => {
  const pool = new Pool(LIMITS);
  const entries = ['a', 'a', 'a', 'b', 'b', 'c'].map((key, i) => [add(pool, key, 0), i] as const);
  for (const [entry, i] of entries) pool.release(entry, i);
  expect(pool.idleCount).toBe(4);
  // The third of its key, and the one that had been idle longest.
  expect(
    entries.map(
      ([
        {
          connection: { closed },
        },
      ]) => closed,
    ),
  ).toEqual([true, false, true, false, false, false]);
});

test('sweep closes what was idle for too long and leaves the rest', () => {
  const pool = new Pool(LIMITS);
  const [old, young, busy] = [add(pool, 'a', 0), add(pool, 'b', 0), add(pool, 'c', 0)];
  pool.release(old, 0);
  pool.release(young, 50);
  pool.sweep(120);
  expect([old, young, busy].map(({ connection: { closed } }) => closed)).toEqual([true, false, false]);
  expect(pool.openCount).toBe(2);
});

test('closeSandbox closes one sandbox’s connections, idle or busy, and close everybody’s', () => {
  const pool = new Pool(LIMITS);
  const idle = add(pool, 'k', 0);
  const busy = add(pool, 'k', 0);
  const other = add(pool, 'l', 0, 'h2', 'b');
  pool.release(idle, 0);
  pool.closeSandbox('a');
  expect([idle, busy, other].map(({ connection: { closed } }) => closed)).toEqual([true, true, false]);
  pool.release(busy, 1);
  pool.close();
  expect(other.connection.closed).toBe(true);
  expect([pool.openCount, pool.idleCount]).toEqual([0, 0]);
});

test('whatever happens, limits hold and nobody gets a connection that is closed, busy or another key’s', () => {
  const step = fc.tuple(
    fc.constantFrom('add', 'add2', 'take', 'release', 'break', 'sweep'),
    fc.nat(3),
    fc.nat(60),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const pool = new Pool(LIMITS);
      const busy: Pooled[] = [];
      let now = 0;
      for (const [what, n, elapsed] of steps) {
        now += elapsed;
        const key = `k${n}`;
        if (what === 'add') busy.push(add(pool, key, now));
        else if (what === 'add2') busy.push(add(pool, key, now, 'h2'));
        else if (what === 'sweep') pool.sweep(now);
        else if (what === 'break') busy[n]?.connection.close();
        else if (what === 'release') {
          const [entry] = busy.splice(n, 1);
          if (entry) pool.release(entry, now);
        } else {
          const entry = pool.take(key, now);
          if (entry === null) continue;
          expect(entry.key).toBe(key);
          expect(entry.connection.closed).toBe(false);
          if (entry.connection.protocol === 'http/1.1') expect(busy).not.toContain(entry);
          busy.push(entry);
        }
        expect(pool.idleCount).toBeLessThanOrEqual(LIMITS.maxIdle);
        for (const { inFlight } of busy) expect(inFlight).toBeGreaterThan(0);
      }
      for (const entry of busy) pool.release(entry, now);
      pool.sweep(now + LIMITS.idleMs + 1);
      expect(pool.idleCount).toBe(0);
      expect(pool.openCount).toBe(0);
    }),
    { seed: 4, numRuns: 300 },
  );
});
