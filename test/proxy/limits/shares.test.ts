import { createShares, type Share } from '../../../src/proxy/limits/shares.js';

/** Room for 1,000 flows. */
const DESCRIPTORS = 2_256;

function openAll(share: Share): number {
  let opened = 0;
  while (share.openFlow()) opened += 1;
  return opened;
}

test('one greedy sandbox gets half of the flows, and the next still gets its part', () => {
  const shares = createShares(DESCRIPTORS);
  const [first, second, third] = [shares.join(), shares.join(), shares.join()];
  expect(openAll(first)).toBe(500);
  expect(openAll(second)).toBe(250);
  expect(third.openFlow()).toBe(true);
  expect(first.openFlow()).toBe(false);
});

test('a flow that has ended makes room', () => {
  const share = createShares(DESCRIPTORS).join();
  openAll(share);
  share.closeFlow();
  expect(share.openFlow()).toBe(true);
  expect(share.openFlow()).toBe(false);
});

test.each([
  ['request', 64],
  ['handshake', 8],
] as const)(
  'some pieces of work (%s) are begun at once, and the others in the turns after',
  async (work, most) => {
    const share = createShares(DESCRIPTORS).join();
    const begun = Array.from({ length: 150 }, () => share.turn(work));
    expect(begun.filter(turn => turn === null)).toHaveLength(most);
    const before: number[] = [];
    let done = 0;
    const count = (): void => {
      done += 1;
    };
    for (const turn of begun) turn?.then(count);
    while (done < 150 - most) {
      before.push(done);
      await new Promise(resolve => setImmediate(resolve));
      expect(done - (before.at(-1) ?? 0)).toBeLessThanOrEqual(most);
    }
  },
);

test('requests that come with handshakes wait as long as for more requests', () => {
  const share = createShares(DESCRIPTORS).join();
  for (let i = 0; i < 7; i++) expect(share.turn('handshake')).toBeNull();
  for (let i = 0; i < 8; i++) expect(share.turn('request')).toBeNull();
  expect(share.turn('request')).not.toBeNull();
});

test('whoever comes late to a long line of another is served in the next turn', async () => {
  const shares = createShares(DESCRIPTORS);
  const [greedy, modest] = [shares.join(), shares.join()];
  const order: string[] = [];
  const queued = (name: string, share: Share): Promise<void> =>
    Promise.resolve(share.turn('request')).then(() => void order.push(name));
  const all = Array.from({ length: 200 }, () => queued('greedy', greedy));
  all.push(queued('modest', modest));
  await Promise.all(all);
  expect(order.indexOf('modest')).toBeLessThan(64 + 2);
});

test('whoever asks for little is begun at once, however long the line of another', async () => {
  const shares = createShares(DESCRIPTORS);
  const [greedy, modest] = [shares.join(), shares.join()];
  modest.turn('request');
  const line = Array.from({ length: 40 }, () => greedy.turn('request'));
  for (let turns = 0; turns < 5; turns++) {
    // A busy machine has two timers run in one turn; what follows them comes in the next.
    await new Promise(resolve => setTimeout(() => setImmediate(resolve), 1));
    expect(modest.turn('request')).toBeNull();
  }
  await Promise.all(line);
});

test('fewer pieces are begun in a turn while another sandbox has work, and as many as before once it has none', async () => {
  const shares = createShares(DESCRIPTORS);
  const [first, second] = [shares.join(), shares.join()];
  const begunAtOnce = (share: Share): number =>
    Array.from({ length: 100 }, () => share.turn('request')).filter(turn => turn === null).length;
  const idle = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 20));
  second.turn('request');
  await idle();
  expect(begunAtOnce(first)).toBe(1);
  for (let turns = 0; turns < 70; turns++) {
    first.turn('request');
    await new Promise(resolve => setImmediate(resolve));
  }
  await idle();
  expect(begunAtOnce(first)).toBe(64);
});
