import fc from 'fast-check';
import { DEFAULT_WINDOW, FRAME_PAYLOAD, TYPE } from '../../../src/proxy/http2/frames.js';
import { Outflow, type OutStream } from '../../../src/proxy/http2/outflow.js';
import { framesOf } from '../../support/h2-frames.js';

/** A client that grants windows, and a kernel that says when it has had enough. */
class Wire {
  readonly outflow = new Outflow(this);
  readonly parts: Buffer[] = [];
  full = false;

  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean {
    this.parts.push(Buffer.from(bytes));
    done?.();
    return !this.full;
  }

  frames(): ReturnType<typeof framesOf> {
    return framesOf(Buffer.concat(this.parts));
  }

  /** Content of DATA frames of `stream`, in order. */
  content(stream: number): Buffer {
    const frames = this.frames().filter(frame => frame.type === TYPE.data && frame.stream === stream);
    return Buffer.concat(frames.map(({ payload }) => payload));
  }
}

const HEAD = Buffer.from('000000010400000001', 'hex');

test('sendWhole sends head and content in one write where the window allows it', () => {
  const wire = new Wire();
  let done = false;
  wire.outflow.sendWhole(wire.outflow.open(1), HEAD, Buffer.from('hello'), () => {
    done = true;
  });
  expect(wire.parts.length).toBe(1);
  expect(wire.frames().map(({ type, flags }) => [type, flags])).toEqual([
    [1, 4],
    [0, 1],
  ]);
  expect(done).toBe(true);
});

test('content waits for the window of its stream and for that of the connection', () => {
  const wire = new Wire();
  const { outflow } = wire;
  const [one, three] = [outflow.open(1), outflow.open(3)];
  outflow.write(one, Buffer.alloc(40_000));
  outflow.write(three, Buffer.alloc(40_000));
  expect(wire.content(1).length + wire.content(3).length).toBe(DEFAULT_WINDOW);
  expect(outflow.isHeldUp(three)).toBe(true);
  outflow.grant(100_000);
  expect(wire.content(3).length).toBe(40_000);
  expect(outflow.isHeldUp(three)).toBe(false);
  outflow.write(one, Buffer.alloc(40_000));
  expect(wire.content(1).length).toBe(DEFAULT_WINDOW);
  outflow.grantStream(one, 20_000);
  expect(wire.content(1).length).toBe(80_000);
});

test('streams take turns', () => {
  const wire = new Wire();
  wire.outflow.grant(1 << 20);
  wire.outflow.setInitialWindow(0);
  const streams = [1, 3, 5].map(id => wire.outflow.open(id));
  for (const stream of streams) wire.outflow.write(stream, Buffer.alloc(FRAME_PAYLOAD * 2));
  wire.outflow.setInitialWindow(1 << 20);
  expect(wire.frames().map(({ stream }) => stream)).toEqual([1, 3, 5, 1, 3, 5]);
});

test('write says when to stop, and onRoom when to go on, though nothing is queued', () => {
  const wire = new Wire();
  const stream = wire.outflow.open(1);
  let room = 0;
  stream.onRoom = () => room++;
  wire.full = true;
  expect(wire.outflow.write(stream, Buffer.alloc(10))).toBe(false);
  expect(wire.outflow.isHeldUp(stream)).toBe(true);
  expect(room).toBe(0);
  wire.full = false;
  wire.outflow.drained();
  expect(room).toBe(1);
  expect(wire.outflow.write(stream, Buffer.alloc(10))).toBe(true);
});

test('the windows cannot be made larger than they may be', () => {
  const wire = new Wire();
  const stream = wire.outflow.open(1);
  expect(wire.outflow.grant(0x7fffffff)).toBe(false);
  expect(wire.outflow.grantStream(stream, 0x7fffffff)).toBe(false);
  expect(new Wire().outflow.setInitialWindow(0x7fffffff)).toBe(true);
  const other = new Wire();
  other.outflow.grantStream(other.outflow.open(1), 1);
  expect(other.outflow.setInitialWindow(0x7fffffff)).toBe(false);
});

test('a smaller initial window may leave a stream below zero, and it waits until it is above again', () => {
  const wire = new Wire();
  const stream = wire.outflow.open(1);
  wire.outflow.write(stream, Buffer.alloc(1000));
  wire.outflow.setInitialWindow(0);
  expect(stream.window).toBe(-1000);
  wire.outflow.write(stream, Buffer.alloc(10));
  wire.outflow.grantStream(stream, 1000);
  expect(wire.content(1).length).toBe(1000);
  wire.outflow.grantStream(stream, 10);
  expect(wire.content(1).length).toBe(1010);
});

type Step =
  | { readonly kind: 'write'; readonly stream: number; readonly bytes: number }
  | { readonly kind: 'grant'; readonly bytes: number }
  | { readonly kind: 'grantStream'; readonly stream: number; readonly bytes: number }
  | { readonly kind: 'initial'; readonly bytes: number }
  | { readonly kind: 'full'; readonly full: boolean };

const stream = fc.integer({ min: 0, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), stream, bytes: fc.nat(50_000) }),
  fc.record({ kind: fc.constant('grant' as const), bytes: fc.integer({ min: 1, max: 50_000 }) }),
  fc.record({
    kind: fc.constant('grantStream' as const),
    stream,
    bytes: fc.integer({ min: 1, max: 50_000 }),
  }),
  fc.record({ kind: fc.constant('initial' as const), bytes: fc.nat(80_000) }),
  fc.record({ kind: fc.constant('full' as const), full: fc.boolean() }),
);

test('whatever the windows do, all content leaves in order, and never more than was granted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const wire = new Wire();
      const streams = [1, 3, 5, 7].map(id => wire.outflow.open(id));
      const written = streams.map(() => Buffer.alloc(0));
      let granted = DEFAULT_WINDOW;
      for (const one of steps) {
        if (one.kind === 'write') {
          const part = Buffer.alloc(one.bytes, written[one.stream]?.length ?? 0);
          written[one.stream] = Buffer.concat([written[one.stream] ?? part, part]);
          wire.outflow.write(streams[one.stream] as OutStream, part);
        } else granted += apply(wire, streams, one);
        const sent = streams.reduce((sum, { id }) => sum + wire.content(id).length, 0);
        expect(sent).toBeLessThanOrEqual(granted);
      }
      wire.full = false;
      wire.outflow.drained();
      wire.outflow.grant(10 << 20);
      for (const each of streams) {
        wire.outflow.grantStream(each, 10 << 20);
        wire.outflow.end(each, null, () => {});
      }
      for (const [i, { id }] of streams.entries())
        expect(wire.content(id).equals(written[i] ?? Buffer.alloc(1))).toBe(true);
      const ends = wire.frames().filter(({ type, flags }) => type === TYPE.data && (flags & 1) !== 0);
      expect(ends.map(frame => frame.stream).sort()).toEqual([1, 3, 5, 7]);
    }),
    { seed: 1, numRuns: 60 },
  );
});

/** Gives what was granted to the connection. */
function apply(wire: Wire, streams: readonly OutStream[], step: Exclude<Step, { kind: 'write' }>): number {
  if (step.kind === 'full') {
    wire.full = step.full;
    if (!step.full) wire.outflow.drained();
  } else if (step.kind === 'initial') wire.outflow.setInitialWindow(step.bytes);
  else if (step.kind === 'grantStream')
    wire.outflow.grantStream(streams[step.stream] as OutStream, step.bytes);
  else {
    wire.outflow.grant(step.bytes);
    return step.bytes;
  }
  return 0;
}
