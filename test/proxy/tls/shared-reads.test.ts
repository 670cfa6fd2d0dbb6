/** Node's own way of reading is what these bytes are compared with: same bytes, same order, same pauses. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import fc from 'fast-check';
import { readIntoShared } from '../../../src/proxy/tls/shared-reads.js';
import { makeTestCa, startTlsServer, type TestServer } from '../../support/tls.js';

const ca = makeTestCa();
let server: TestServer;
/** What the server does with its next connection. */
let serve: (socket: tls.TLSSocket) => void;

beforeAll(async () => {
  server = await startTlsServer({ ca, names: ['example.test'], handler: socket => serve(socket) });
});
afterAll(() => server.close());

/** Both ends of a connection whose near end reads into the buffer. */
async function pair(): Promise<{ near: tls.TLSSocket; far: tls.TLSSocket }> {
  const accepted = new Promise<tls.TLSSocket>(resolve => {
    serve = resolve;
  });
  const near = tls.connect({
    socket: net.connect(server.port, '127.0.0.1'),
    servername: 'example.test',
    ca: ca.rootPem,
  });
  await once(near, 'secureConnect');
  const far = await accepted;
  far.on('error', () => {});
  expect(readIntoShared(near)).toBe(true);
  return { near, far };
}

/** `length` bytes that tell where they stand. */
function pattern(length: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) + seed) & 0xff));
}

/** Small ones, single records, and so many full ones that the socket gets a slab and fills it. */
const SIZES = fc.array(fc.oneof(fc.nat(300), fc.nat(70_000), fc.nat(600_000), fc.constant(81_920)), {
  maxLength: 8,
});

test('bytes come in order, whatever their pieces and wherever the reader rests', async () => {
  await fc.assert(
    fc.asyncProperty(SIZES, fc.array(fc.boolean(), { minLength: 1 }), async (sizes, rests) => {
      const { near, far } = await pair();
      const sent = sizes.map(pattern);
      const received: Buffer[] = [];
      near.on('data', chunk => {
        received.push(chunk);
        if (rests[received.length % rests.length] !== true) return;
        near.pause();
        setImmediate(() => near.resume());
      });
      for (const piece of sent) far.write(piece);
      far.end();
      await once(near, 'end');
      near.destroy();
      expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('a chunk that was kept does not change when another socket reads', async () => {
  const [one, other] = [await pair(), await pair()];
  for (const length of [10, 8_192, 8_193, 16_384]) {
    one.far.write(pattern(length, 1));
    const [kept] = (await once(one.near, 'data')) as [Buffer];
    other.far.write(pattern(length, 2));
    const [second] = (await once(other.near, 'data')) as [Buffer];
    expect(kept.equals(pattern(length, 1))).toBe(true);
    expect(second.equals(pattern(length, 2))).toBe(true);
  }
  one.near.destroy();
  other.near.destroy();
});

test('so many sockets have a slab and no more, and those that have closed give theirs back', async () => {
  const open = async (): Promise<{ near: tls.TLSSocket; far: tls.TLSSocket; chunks: Buffer[] }> => {
    const { near, far } = await pair();
    const chunks: Buffer[] = [];
    near.on('data', chunk => chunks.push(chunk));
    return { near, far, chunks };
  };
  const hasSlab = ({ chunks }: { chunks: Buffer[] }): boolean =>
    chunks.some(({ buffer }) => buffer.byteLength === 262_144);
  /** Full records alone: who has a slab keeps it. */
  const length = 20 * 16_384;
  const filled = async (one: Awaited<ReturnType<typeof open>>, seed: number): Promise<void> => {
    one.far.write(pattern(length, seed));
    while (Buffer.concat(one.chunks).length < length) await once(one.near, 'data');
    expect(Buffer.concat(one.chunks).equals(pattern(length, seed))).toBe(true);
  };
  const all: Awaited<ReturnType<typeof open>>[] = [];
  for (let i = 0; i < 40; i++) all.push(await open());
  await Promise.all(all.map(filled));
  expect(all.filter(hasSlab)).toHaveLength(32);
  for (const { near } of all) near.destroy();
  const late = await open();
  await filled(late, 99);
  expect(hasSlab(late)).toBe(true);
  late.near.destroy();
});

test('content comes in pieces that need no joining', async () => {
  const { near, far } = await pair();
  const chunks: Buffer[] = [];
  near.on('data', chunk => chunks.push(chunk));
  far.end(Buffer.alloc(1 << 20));
  await once(near, 'end');
  const follows = chunks.filter((chunk, index) => {
    const before = chunks[index - 1];
    return before?.buffer === chunk.buffer && before.byteOffset + before.length === chunk.byteOffset;
  });
  // All but the first records and the first of each slab.
  expect(follows.length).toBeGreaterThanOrEqual(chunks.length - 4 - 5);
});

test('nothing comes between pause and resume', async () => {
  const { near, far } = await pair();
  let heard = 0;
  near.on('data', ({ length }: Buffer) => {
    heard += length;
    near.pause();
  });
  far.write(pattern(200_000, 0));
  const before: number[] = [];
  while (heard < 200_000) {
    await new Promise(resolve => setTimeout(resolve, 2));
    before.push(heard);
    await new Promise(resolve => setTimeout(resolve, 2));
    expect(heard).toBe(before.at(-1));
    near.resume();
  }
  near.destroy();
});

test('a paused reader holds the sender back', async () => {
  const { near, far } = await pair();
  near.pause();
  const block = Buffer.alloc(1 << 20);
  let taken = 0;
  while (taken < 256 && far.write(block)) taken += 1;
  for (let still = 0; still < 5; ) {
    const before = far.bytesWritten - far.writableLength;
    await new Promise(resolve => setTimeout(resolve, 20));
    still = far.bytesWritten - far.writableLength === before ? still + 1 : 0;
  }
  expect(near.readableLength).toBeLessThan(1 << 20);
  near.destroy();
});

test('what was put back comes first, and then what waits', async () => {
  const { near, far } = await pair();
  far.write('one');
  const [first] = (await once(near, 'data')) as [Buffer];
  near.pause();
  near.removeAllListeners('data');
  far.write(' two');
  await new Promise(resolve => setTimeout(resolve, 20));
  near.unshift(first);
  const all: Buffer[] = [];
  near.on('data', chunk => all.push(chunk)).resume();
  far.end(' three');
  await once(near, 'end');
  expect(Buffer.concat(all).toString()).toBe('one two three');
});

test('an iterator reads it like any stream', async () => {
  const { near, far } = await pair();
  far.end(pattern(100_000, 7));
  const all: Buffer[] = [];
  for await (const chunk of near) all.push(chunk);
  expect(Buffer.concat(all).equals(pattern(100_000, 7))).toBe(true);
});

test('a reader that leaves in the middle closes the socket, and nothing is emitted after it', async () => {
  const { near, far } = await pair();
  let heard = 0;
  near.on('data', () => {
    heard += 1;
    near.destroy();
  });
  far.write(pattern(65_536, 0));
  await once(near, 'close');
  expect(heard).toBe(1);
});

test('a socket without a handle stays as it is', async () => {
  const { near } = await pair();
  near.destroy();
  await once(near, 'close');
  expect(readIntoShared(near)).toBe(false);
});
