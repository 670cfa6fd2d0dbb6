import type { Socket } from 'node:net';
import { splice } from '../../src/proxy/tunnel.js';
import { readAll, socketPair } from '../support/loopback.js';

const NEVER = new AbortController().signal;
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const pair of open.splice(0)) await pair[Symbol.asyncDispose]();
});

async function joined(heardBy = 0): Promise<{
  readonly client: Socket;
  readonly server: Socket;
  readonly ends: readonly Socket[];
  readonly done: Promise<void>;
}> {
  const [inner, outer] = await Promise.all([socketPair(), socketPair()]);
  open.push(inner, outer);
  const ends = [inner.far, outer.far];
  for (const end of ends) for (let i = 0; i < heardBy; i++) end.on('error', () => undefined);
  return { client: inner.near, server: outer.near, ends, done: splice(inner.far, outer.far, NEVER) };
}

test('splice carries bytes both ways, and one side that has ended is still answered', async () => {
  const { client, server, done } = await joined();
  client.end('question');
  expect(String(await readAll(server))).toBe('question');
  server.end('answer');
  expect(String(await readAll(client))).toBe('answer');
  await done;
});

test('splice listens within what Node is told, beside those who listened before', async () => {
  const { client, server, ends, done } = await joined(8);
  for (const end of ends) expect(end.listenerCount('error')).toBeLessThanOrEqual(end.getMaxListeners());
  for (const peer of [client, server]) peer.resume().end();
  await done;
});

test('splice ends both when one fails', async () => {
  const { client, ends, done } = await joined();
  client.resetAndDestroy();
  await expect(done).rejects.toThrow();
  expect(ends.map(end => end.destroyed)).toEqual([true, true]);
});
