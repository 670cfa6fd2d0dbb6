import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { closePayload, emitFrame, FrameReader, OPCODE } from '../../../src/proxy/websocket/frames.js';
import { GuardedSocket } from '../../../src/proxy/websocket/guarded.js';
import { guardDialogue } from '../../../src/secrets/dialogue.js';
import type { Leak } from '../../../src/secrets/scan.js';
import { SecretStore } from '../../../src/secrets/store.js';
import { substitute } from '../../../src/secrets/substitute.js';
import { A, KEY, loaded, outbound, placesOf, setOf } from '../../secrets/fixtures.js';
import { socketPair } from '../../support/loopback.js';

const MASK = Uint8Array.of(1, 2, 3, 4);

interface Dialogue {
  readonly socket: GuardedSocket;
  /** Where the upstream itself is. */
  readonly far: Socket;
  readonly leaks: Leak[];
}

const open: Duplex[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

async function dialogue(inScope: readonly string[]): Promise<Dialogue> {
  const options = { placeholder: A.placeholder, places: placesOf('websocket'), pinned: true };
  const secrets = new SecretStore(KEY, 'run').forSandbox('vm', setOf(loaded('A', A.value, options)));
  const departing = substitute(secrets, outbound({ inScope, upgrade: 'websocket' }));
  const guard = departing.ok ? guardDialogue(secrets, departing) : null;
  if (guard === null) throw new Error('nothing to guard');
  const { near: upstream, far } = await socketPair();
  const leaks: Leak[] = [];
  const socket = new GuardedSocket({ upstream, guard, onLeak: leak => void leaks.push(leak) });
  socket.on('error', () => undefined);
  open.push(socket, far);
  return { socket, far, leaks };
}

/** Everything that comes out of `stream`, as `opcode payload`. */
async function framesOf(stream: Duplex, masked: boolean): Promise<string[]> {
  const reader = new FrameReader({ masked, maxPayload: 1 << 24 });
  const seen: string[] = [];
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    const got = reader.push(chunk as Uint8Array);
    if (!got.ok) throw new Error(got.error);
    seen.push(
      ...got.value.map(({ opcode, payload }) => `${opcode} ${Buffer.from(payload).toString('latin1')}`),
    );
  }
  return seen;
}

function text(payload: string, mask: Uint8Array | null, fin = true): Uint8Array {
  return emitFrame({ fin, opcode: OPCODE.text, payload: Buffer.from(payload) }, mask);
}

const REFUSED = `8 ${Buffer.from(closePayload(1008, 'refused by policy')).toString('latin1')}`;
const BROKEN = `8 ${Buffer.from(closePayload(1002)).toString('latin1')}`;

test('a placeholder over two fragments ends the dialogue with 1008 on both sides, and not a byte of it leaves', async () => {
  const { socket, far, leaks } = await dialogue([]);
  const seen = Promise.all([framesOf(far, true), framesOf(socket, false)]);
  socket.write(text('hello', MASK));
  socket.write(text(A.placeholder.slice(0, 20), MASK, false));
  const rest = { fin: true, opcode: OPCODE.continuation, payload: Buffer.from(A.placeholder.slice(20)) };
  socket.write(emitFrame(rest, MASK));
  socket.end(text('more', MASK));
  expect(await seen).toEqual([['1 hello', REFUSED], [REFUSED]]);
  expect(leaks).toMatchObject([{ secret: 'A', place: 'websocket', reason: 'out-of-scope' }]);
  expect(socket.stopped?.code).toBe('SECRET_LEAK');
});

test('a compressed frame is no WebSocket here: 1002 on both sides', async () => {
  const { socket, far, leaks } = await dialogue([]);
  const seen = Promise.all([framesOf(far, true), framesOf(socket, false)]);
  const frame = text('x', MASK);
  frame[0] = 0xc1;
  socket.end(frame);
  expect(await seen).toEqual([[BROKEN], [BROKEN]]);
  expect(leaks).toEqual([]);
  expect(socket.stopped?.code).toBe('CLIENT_PROTOCOL');
});

test('a text is filled in and masked anew; an echo comes back with the placeholder', async () => {
  const { socket, far } = await dialogue(['A']);
  const seen = Promise.all([framesOf(far, true), framesOf(socket, false)]);
  const reason = Buffer.concat([Uint8Array.of(3, 232), Buffer.from(A.value)]);
  far.write(text(`you: ${A.value}`, null));
  far.end(emitFrame({ fin: true, opcode: OPCODE.close, payload: reason }, null));
  socket.end(text(`token ${A.placeholder}`, MASK));
  expect(await seen).toEqual([
    [`1 token ${A.value}`],
    [`1 you: ${A.placeholder}`, `8 \u0003\u00e8${A.placeholder}`],
  ]);
  expect(socket.stopped).toBeNull();
});

test('what holds nothing goes on byte for byte', async () => {
  const { socket, far } = await dialogue(['A']);
  const sent = Buffer.concat([
    text('a', MASK, false),
    emitFrame({ fin: true, opcode: 0, payload: MASK }, MASK),
  ]);
  const got: Buffer[] = [];
  far.on('data', (chunk: Buffer) => void got.push(chunk));
  const ended = once(far, 'end');
  socket.resume();
  socket.end(sent);
  await ended;
  expect(Buffer.concat(got)).toEqual(sent);
});

test('an upstream that is gone is seen as a truncation', async () => {
  const { socket, far } = await dialogue(['A']);
  const failed = new Promise(resolve => socket.once('error', resolve));
  socket.resume();
  far.resetAndDestroy();
  expect(await failed).toMatchObject({ code: 'ECONNRESET' });
});

test('an upstream that ends within a frame is told so, and so is the sandbox', async () => {
  const { socket, far } = await dialogue(['A']);
  const seen = framesOf(socket, false);
  far.end(text('hello', null).subarray(0, 3));
  expect(await seen).toEqual([BROKEN]);
  expect(socket.stopped?.code).toBe('UPSTREAM_TRUNCATED');
});
