import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../../../src/core/clock.js';
import { createLimits, type LimitSettings, NO_LIMITS } from '../../../src/proxy/limits/limits.js';
import { createShares } from '../../../src/proxy/limits/shares.js';

const limitsOf = (settings: Partial<LimitSettings>, clock = systemClock) =>
  createLimits({ ...NO_LIMITS, ...settings }, clock);

test('without a limit everything is admitted and a stream stays what it is', () => {
  const limits = limitsOf({});
  const stream = new PassThrough();
  expect(limits.pace(stream)).toBe(stream);
  for (let i = 0; i < 10_000; i++)
    if (limits.admitFlow() === null || !limits.admitRequest()) throw new Error('not admitted');
});

test('no more flows are open than max_connections, and a place that was given back twice is one place', () => {
  const limits = limitsOf({ maxConnections: 2 });
  const [first, second] = [limits.admitFlow(), limits.admitFlow()];
  expect(second).not.toBeNull();
  expect(limits.admitFlow()).toBeNull();
  first?.();
  first?.();
  expect(limits.admitFlow()).not.toBeNull();
  expect(limits.admitFlow()).toBeNull();
});

test('requests over the rate are refused, and admitted again as time goes on', () => {
  let nowMs = 0;
  const limits = limitsOf({ requestsPerSecond: 5 }, { now: () => nowMs, monotonic: () => nowMs });
  const admit = (times: number): number =>
    Array.from({ length: times }, () => limits.admitRequest()).filter(Boolean).length;
  expect(admit(20)).toBe(5);
  nowMs = 400;
  expect(admit(20)).toBe(2);
});

test('after a misbehaviour the next connection waits for its end, and no longer once that is past', async () => {
  let nowMs = 1_000;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const waits: { readonly milliseconds: number; readonly run: () => void }[] = [];
  const later = (milliseconds: number, run: () => void) => {
    waits.push({ milliseconds, run });
    return () => undefined;
  };
  const limits = createLimits(NO_LIMITS, clock, { later });
  const { signal } = new AbortController();
  expect(limits.calm(signal)).toBeNull();
  limits.misbehaved();
  nowMs += 400;
  const calm = limits.calm(signal);
  expect(waits.map(({ milliseconds }) => milliseconds)).toEqual([600]);
  waits[0]?.run();
  await calm;
  nowMs += 600;
  expect(limits.calm(signal)).toBeNull();
});

test('a reload keeps the count of open flows', () => {
  const limits = limitsOf({ maxConnections: 1 });
  limits.admitFlow();
  limits.change({ ...NO_LIMITS, maxConnections: 2 });
  expect([limits.admitFlow() === null, limits.admitFlow() === null]).toEqual([false, true]);
});

test('a reload without limits frees the flows that were held back', async () => {
  const limits = limitsOf({ maxEgressBps: 10 });
  const [inner, outer] = pair();
  const paced = limits.pace(inner);
  outer.end(Buffer.alloc(100_000));
  const content = buffer(paced);
  limits.change(NO_LIMITS);
  expect((await content).length).toBe(100_000);
  paced.destroy();
});

/** A connection of two sockets on loopback: the gateway's side, then the sandbox's. */
async function connection(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const outer = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [inner] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [inner, outer];
}

/** Two ends of a pipe in memory. */
function pair(): [Duplex, Duplex] {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const end = (readable: PassThrough, writable: PassThrough): Duplex => {
    const duplex = Duplex.from({ readable, writable });
    // The end that is left learns by an error that the other was destroyed.
    return duplex.on('error', () => undefined);
  };
  return [end(there, back), end(back, there)];
}

const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));

describe.each([
  ['egress', { maxEgressBps: 2_000_000 }],
  ['ingress', { maxIngressBps: 2_000_000 }],
  ['both', { maxEgressBps: 2_000_000, maxIngressBps: 2_000_000 }],
])('with a limit for %s', (_name, settings) => {
  test('the bytes are the same, both ways and both ends, and counted', async () => {
    const [inner, outer] = await connection();
    const paced = limitsOf(settings).pace(inner) as Duplex & { bytesRead: number; bytesWritten: number };
    outer.end(CONTENT);
    const [received, echoed] = [buffer(paced), buffer(outer)];
    expect((await received).equals(CONTENT)).toBe(true);
    paced.end(CONTENT);
    expect((await echoed).equals(CONTENT)).toBe(true);
    expect([paced.bytesRead, paced.bytesWritten]).toEqual([CONTENT.length, CONTENT.length]);
    await closed(inner);
  });

  test('an echo through a pipeline is whole, the sandbox ending first', async () => {
    const [inner, outer] = await connection();
    const paced = limitsOf(settings).pace(inner);
    const echo = pipeline(paced, new PassThrough(), paced);
    outer.end(CONTENT);
    expect((await buffer(outer)).equals(CONTENT)).toBe(true);
    await echo;
  });

  test('a sandbox that goes away closes the stream, and a stream that is destroyed closes the socket', async () => {
    const [inner, outer] = await connection();
    const paced = limitsOf(settings).pace(inner);
    paced.on('error', () => undefined);
    paced.resume();
    outer.resetAndDestroy();
    await closed(paced);

    const [inner2, outer2] = await connection();
    outer2.on('error', () => undefined);
    const paced2 = limitsOf(settings).pace(inner2);
    outer2.write(CONTENT);
    await once(paced2, 'readable');
    paced2.destroy();
    await Promise.all([closed(inner2), closed(outer2)]);
  });

  test('a reset of the stream is a reset for the sandbox', async () => {
    const [inner, outer] = await connection();
    const paced = limitsOf(settings).pace(inner) as Duplex & { resetAndDestroy(): void };
    const failed = once(outer, 'error').catch((error: unknown) => [error]);
    outer.resume();
    paced.resetAndDestroy();
    expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
  });
});

test('two flows of one sandbox together are no faster than the limit', async () => {
  const limits = limitsOf({ maxEgressBps: 1_000_000 });
  const begunMs = performance.now();
  const both = await Promise.all([1, 2].map(connection));
  const contents = both.map(([inner, outer]) => {
    const paced = limits.pace(inner);
    outer.end(CONTENT.subarray(0, 150_000));
    outer.resume();
    return buffer(paced).finally(() => paced.destroy());
  });
  await Promise.all(contents);
  // 300,000 bytes, less the burst and the last turns: slower is the machine's affair, faster is not allowed.
  expect(performance.now() - begunMs).toBeGreaterThan(150);
});

test('what is not due is not read: the gateway holds a quantum and a buffer, the rest stays with the sandbox', async () => {
  const [inner, outer] = pair();
  const limits = limitsOf({ maxEgressBps: 1_000 });
  const paced = limits.pace(inner);
  paced.on('data', () => undefined);
  let accepted = 0;
  while (outer.write(Buffer.alloc(16_384)) && accepted < 100) accepted += 1;
  expect(accepted).toBeLessThan(100);
  paced.destroy();
});

/** All that comes until the end; unlike a `for await` it leaves the other direction open. */
function buffer(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.once('error', reject);
  });
}

function closed(stream: Duplex): Promise<void> {
  // An error may come first: the event is what counts.
  return new Promise(resolve => {
    if (stream.closed) resolve();
    else stream.once('close', () => resolve());
  });
}

/** Two sandboxes of one gateway, and how long the first was told to wait. */
function neighbours(settings: Partial<LimitSettings>) {
  const shares = createShares(10_000);
  const clock = { now: () => 1_000, monotonic: () => 1_000 };
  const waits: number[] = [];
  const later = (milliseconds: number) => {
    waits.push(milliseconds);
    return () => undefined;
  };
  const limits = createLimits({ ...NO_LIMITS, ...settings }, clock, { shares, later });
  const other = createLimits(NO_LIMITS, clock, { shares });
  const meet = (): void => {
    limits.turn('request');
    other.turn('request');
  };
  return { limits, waits, meet };
}

test('a sandbox alone begins a second of requests at once', () => {
  const { limits, waits } = neighbours({ requestsPerSecond: 400 });
  const { signal } = new AbortController();
  for (let i = 0; i < 400; i++) expect(limits.spread(signal)).toBeNull();
  expect(waits).toEqual([]);
});

test('beside another one they are begun over half a second, in their order', () => {
  const { limits, waits, meet } = neighbours({ requestsPerSecond: 400 });
  const { signal } = new AbortController();
  meet();
  for (let i = 0; i < 400; i++) void limits.spread(signal);
  expect(waits).toHaveLength(380);
  expect(waits).toEqual([...waits].sort((a, b) => a - b));
  expect(waits.at(-1)).toBeCloseTo(475, 0);
});

test('without a rate nothing is spread', () => {
  const { limits, meet } = neighbours({});
  meet();
  for (let i = 0; i < 1_000; i++) expect(limits.spread(new AbortController().signal)).toBeNull();
});

test('a request that is waited with ends its wait when its connection does', async () => {
  const { limits, meet } = neighbours({ requestsPerSecond: 1 });
  meet();
  const gone = new AbortController();
  void limits.spread(gone.signal);
  const waiting = limits.spread(gone.signal);
  expect(waiting).not.toBeNull();
  gone.abort();
  await waiting;
});

test('beside another sandbox handshakes are begun a hundred a second, sixteen at once', () => {
  const { limits, waits, meet } = neighbours({});
  const { signal } = new AbortController();
  for (let i = 0; i < 100; i++) expect(limits.calm(signal)).toBeNull();
  meet();
  for (let i = 0; i < 20; i++) void limits.calm(signal);
  expect(waits).toEqual([10, 20, 30, 40]);
});

test('no handshake waits for more than a second, whatever connections that are gone owe', () => {
  const { limits, waits, meet } = neighbours({});
  meet();
  for (let i = 0; i < 5_000; i++) void limits.calm(new AbortController().signal);
  expect(Math.max(...waits)).toBe(1_000);
});
