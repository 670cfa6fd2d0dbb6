import fc from 'fast-check';
import {
  closePayload,
  emitFrame,
  type Frame,
  type FrameFault,
  FrameReader,
  OPCODE,
  type OutgoingFrame,
} from '../../../src/proxy/websocket/frames.js';

const SEED = { seed: 6455, numRuns: 300 };
const CLIENT = { masked: true, maxPayload: 70_000 };
const SERVER = { masked: false, maxPayload: 70_000 };

interface Case {
  readonly name: string;
  readonly hex: string;
  readonly options?: typeof CLIENT;
  readonly want: FrameFault | readonly string[];
}

const cases: readonly Case[] = [
  { name: "reads a server's text", hex: '810548656c6c6f', want: ['Hello'] },
  {
    name: "takes the mask off a client's text (RFC 6455 §5.7)",
    hex: '818537fa213d7f9f4d5158',
    options: CLIENT,
    want: ['Hello'],
  },
  { name: 'reads two frames at once', hex: '8101618a00', want: ['a', ''] },
  { name: 'waits for a frame that is not whole', hex: '810548', want: [] },
  { name: 'refuses a compressed frame', hex: 'c10161', want: 'reserved-bits' },
  { name: 'refuses an opcode that has no meaning', hex: '8300', want: 'reserved-opcode' },
  { name: 'refuses a control opcode that has no meaning', hex: '8b00', want: 'reserved-opcode' },
  { name: 'refuses half a ping', hex: '0900', want: 'fragmented-control' },
  { name: 'refuses a long ping', hex: '897e007e', want: 'long-control' },
  { name: 'refuses a ping without end as a long ping', hex: '897fffffffffffffffff', want: 'long-control' },
  { name: "refuses a client's frame without a mask", hex: '810161', options: CLIENT, want: 'mask-missing' },
  { name: "refuses a server's frame with a mask", hex: '81810000000061', want: 'mask-unexpected' },
  { name: 'refuses a short length in two bytes', hex: '817e007d', want: 'length-not-minimal' },
  { name: 'refuses a short length in eight bytes', hex: '817f000000000000ffff', want: 'length-not-minimal' },
  { name: 'refuses a length of more than 63 bits', hex: '817f8000000000000000', want: 'frame-too-long' },
  { name: 'refuses a frame of more than it may hold', hex: '817f0000000000011171', want: 'frame-too-long' },
];

for (const { name, hex, options = SERVER, want } of cases) {
  test(`FrameReader ${name}`, () => {
    const got = new FrameReader(options).push(Buffer.from(hex, 'hex'));
    if (typeof want === 'string') return void expect(got).toEqual({ ok: false, error: want });
    expect(got.ok && got.value.map(({ payload }) => Buffer.from(payload).toString())).toEqual(want);
  });
}

test('FrameReader gives what came before a fault, then tells the fault', () => {
  const reader = new FrameReader(SERVER);
  expect(reader.push(Buffer.from('810161c1', 'hex'))).toMatchObject({ ok: true, value: [{ fin: true }] });
  expect(reader.fault).toBe('reserved-bits');
  expect(reader.push(Buffer.from('810161', 'hex'))).toEqual({ ok: false, error: 'reserved-bits' });
});

test('FrameReader leaves the bytes that it was given, and those that it gives as received, as they are', () => {
  const bytes = Buffer.from('818537fa213d7f9f4d5158', 'hex');
  const got = new FrameReader(CLIENT).push(bytes);
  expect(bytes.toString('hex')).toBe('818537fa213d7f9f4d5158');
  expect(got.ok && Buffer.from(got.value[0]?.raw ?? []).toString('hex')).toBe('818537fa213d7f9f4d5158');
});

test('a close frame holds a code and at most 123 bytes of reason', () => {
  expect(Buffer.from(closePayload(1008, 'no')).toString('hex')).toBe('03f06e6f');
  expect(closePayload(1000, 'x'.repeat(200))).toHaveLength(125);
});

const data = fc.record<OutgoingFrame>({
  fin: fc.boolean(),
  opcode: fc.constantFrom(OPCODE.continuation, OPCODE.text, OPCODE.binary),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom(125, 126, 127, 65_535, 65_536).map(length => new Uint8Array(length).fill(7)),
  ),
});
const control = fc.record<OutgoingFrame>({
  fin: fc.constant(true),
  opcode: fc.constantFrom(OPCODE.close, OPCODE.ping, OPCODE.pong),
  payload: fc.uint8Array({ maxLength: 125 }),
});
const frames = fc.array(fc.oneof(data, control), { maxLength: 6 });
const mask = fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }));

function read(bytes: Uint8Array, masked: boolean, cuts: readonly number[]): Frame[] | FrameFault {
  const reader = new FrameReader({ masked, maxPayload: 70_000 });
  const seen: Frame[] = [];
  const ends = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    const piece = Buffer.from(bytes.subarray(from, end));
    const got = reader.push(piece);
    piece.fill(0);
    if (!got.ok) return got.error;
    seen.push(...got.value);
    from = end;
  }
  return reader.fault ?? seen;
}

test('FrameReader reads what emitFrame wrote, however it was cut', () => {
  fc.assert(
    fc.property(frames, mask, fc.array(fc.nat()), (sent, key, cuts) => {
      const bytes = Buffer.concat(sent.map(frame => emitFrame(frame, key)));
      const seen = read(bytes, key !== null, cuts);
      if (!Array.isArray(seen)) throw new Error(seen);
      expect(seen.map(({ fin, opcode }) => ({ fin, opcode }))).toEqual(
        sent.map(({ fin, opcode }) => ({ fin, opcode })),
      );
      expect(seen.every(({ payload }, i) => Buffer.compare(payload, sent[i]?.payload ?? payload) === 0)).toBe(
        true,
      );
      expect(Buffer.compare(Buffer.concat(seen.map(({ raw }) => raw)), bytes)).toBe(0);
    }),
    SEED,
  );
});

test('FrameReader never throws, and what it says of random bytes does not depend on how they were cut', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), fc.array(fc.nat()), (bytes, masked, cuts) => {
      const whole = read(bytes, masked, []);
      const cut = read(bytes, masked, cuts);
      expect(typeof cut === 'string' ? cut : cut.length).toEqual(
        typeof whole === 'string' ? whole : whole.length,
      );
    }),
    SEED,
  );
});
