import fc from 'fast-check';
import type { Frame } from '../../../src/proxy/http2/frame-payload.js';
import { BLOCK_FRAMES, FrameReader } from '../../../src/proxy/http2/frame-reader.js';
import { ERROR, type ErrorCode, emitFrame, FLAG, TYPE } from '../../../src/proxy/http2/frames.js';
import { dataFrame, GREETING, headersFrame, requestFields, SETTINGS } from '../../support/h2-frames.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const head = headersFrame(1, requestFields());
const block = head.subarray(9);
const greeted = (...frames: Buffer[]): Buffer => Buffer.concat([GREETING, ...frames]);

interface Reading {
  readonly frames: Frame[];
  readonly code: ErrorCode | null;
}

/** Pushes `wire` in pieces; content that was cut is joined again. */
function read(wire: Buffer, cuts: readonly number[] = []): Reading {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  let at = 0;
  for (const cut of [...cuts, wire.length]) {
    const batch = reader.push(wire.subarray(at, at + cut));
    for (const frame of batch.frames) join(frames, frame);
    if (batch.fault !== null) return { frames, code: batch.fault.code };
    at = Math.min(wire.length, at + cut);
  }
  return { frames, code: null };
}

function join(frames: Frame[], frame: Frame): void {
  const last = frames.at(-1);
  if (frame.type !== 'data' || frame.starts || last?.type !== 'data') {
    frames.push(frame);
    return;
  }
  const bytes = Buffer.concat([last.bytes, frame.bytes]);
  frames[frames.length - 1] = { ...last, bytes, flow: last.flow + frame.flow, end: frame.end };
}

test('FrameReader reads a request with padded content', () => {
  const padded = emitFrame(TYPE.data, FLAG.endStream | FLAG.padded, 1, hex('03 616263 000000'));
  const { frames, code } = read(greeted(head, padded));
  expect(code).toBeNull();
  expect(frames).toEqual([
    { type: 'settings', values: [] },
    { type: 'headers', stream: 1, block, end: true, wireBytes: head.length },
    { type: 'data', stream: 1, bytes: Buffer.from('abc'), flow: 7, end: true, starts: true },
  ]);
});

test('FrameReader leaves out the padding and the priority of HEADERS', () => {
  const payload = Buffer.concat([hex('02 00000003 10'), block, hex('0000')]);
  const flags = FLAG.endHeaders | FLAG.endStream | FLAG.padded | FLAG.priority;
  const { frames } = read(greeted(emitFrame(TYPE.headers, flags, 1, payload)));
  expect(frames.at(-1)).toEqual({
    type: 'headers',
    stream: 1,
    block,
    end: true,
    wireBytes: 9 + payload.length,
  });
});

test('FrameReader puts a header block together', () => {
  const parts = [
    emitFrame(TYPE.headers, FLAG.endStream, 1, block.subarray(0, 5)),
    emitFrame(TYPE.continuation, 0, 1, block.subarray(5, 6)),
    emitFrame(TYPE.continuation, FLAG.endHeaders, 1, block.subarray(6)),
  ];
  const { frames } = read(greeted(...parts));
  expect(frames.at(-1)).toMatchObject({ type: 'headers', block, end: true });
});

const settings = (payload: string, flags = 0, stream = 0): Buffer =>
  emitFrame(TYPE.settings, flags, stream, hex(payload));
const open = emitFrame(TYPE.headers, 0, 1, block.subarray(0, 5));

interface Fault {
  readonly name: string;
  readonly wire: Buffer;
  readonly want: ErrorCode;
}

const faults: Fault[] = [
  { name: 'HTTP/1', wire: Buffer.from('GET / HTTP/1.1\r\n\r\n'), want: ERROR.protocol },
  {
    name: 'a greeting without SETTINGS',
    wire: Buffer.concat([GREETING.subarray(0, 24), head]),
    want: ERROR.protocol,
  },
  {
    name: 'an acknowledgement first',
    wire: Buffer.concat([GREETING.subarray(0, 24), settings('', FLAG.ack)]),
    want: ERROR.protocol,
  },
  {
    name: 'a frame that is too large',
    wire: greeted(emitFrame(TYPE.headers, 4, 1, Buffer.alloc(16_385))),
    want: ERROR.frameSize,
  },
  { name: 'DATA on stream 0', wire: greeted(dataFrame(0, 'x')), want: ERROR.protocol },
  { name: 'HEADERS on stream 0', wire: greeted(headersFrame(0, [])), want: ERROR.protocol },
  {
    name: 'PRIORITY on stream 0',
    wire: greeted(emitFrame(TYPE.priority, 0, 0, Buffer.alloc(5))),
    want: ERROR.protocol,
  },
  {
    name: 'RST_STREAM on stream 0',
    wire: greeted(emitFrame(TYPE.reset, 0, 0, Buffer.alloc(4))),
    want: ERROR.protocol,
  },
  {
    name: 'RST_STREAM of a wrong size',
    wire: greeted(emitFrame(TYPE.reset, 0, 1, Buffer.alloc(5))),
    want: ERROR.frameSize,
  },
  { name: 'SETTINGS on a stream', wire: greeted(settings('', 0, 1)), want: ERROR.protocol },
  { name: 'SETTINGS of a wrong size', wire: greeted(settings('0000')), want: ERROR.frameSize },
  {
    name: 'an acknowledgement with content',
    wire: greeted(settings('000100000000', FLAG.ack)),
    want: ERROR.frameSize,
  },
  {
    name: 'a push',
    wire: greeted(emitFrame(TYPE.push, FLAG.endHeaders, 1, Buffer.alloc(8))),
    want: ERROR.protocol,
  },
  {
    name: 'PING on a stream',
    wire: greeted(emitFrame(TYPE.ping, 0, 1, Buffer.alloc(8))),
    want: ERROR.protocol,
  },
  {
    name: 'PING of a wrong size',
    wire: greeted(emitFrame(TYPE.ping, 0, 0, Buffer.alloc(7))),
    want: ERROR.frameSize,
  },
  {
    name: 'GOAWAY on a stream',
    wire: greeted(emitFrame(TYPE.goaway, 0, 1, Buffer.alloc(8))),
    want: ERROR.protocol,
  },
  {
    name: 'GOAWAY cut short',
    wire: greeted(emitFrame(TYPE.goaway, 0, 0, Buffer.alloc(7))),
    want: ERROR.frameSize,
  },
  {
    name: 'WINDOW_UPDATE of nothing',
    wire: greeted(emitFrame(TYPE.window, 0, 0, Buffer.alloc(4))),
    want: ERROR.protocol,
  },
  {
    name: 'WINDOW_UPDATE of a wrong size',
    wire: greeted(emitFrame(TYPE.window, 0, 0, Buffer.alloc(3))),
    want: ERROR.frameSize,
  },
  {
    name: 'CONTINUATION on its own',
    wire: greeted(emitFrame(TYPE.continuation, 4, 1, block)),
    want: ERROR.protocol,
  },
  {
    name: 'PING inside a header block',
    wire: greeted(open, emitFrame(TYPE.ping, 0, 0, Buffer.alloc(8))),
    want: ERROR.protocol,
  },
  {
    name: 'an unknown frame inside a header block',
    wire: greeted(open, emitFrame(99, 0, 1, block)),
    want: ERROR.protocol,
  },
  {
    name: 'CONTINUATION of another stream',
    wire: greeted(open, emitFrame(TYPE.continuation, 4, 3, block)),
    want: ERROR.protocol,
  },
  {
    name: 'more padding than content',
    wire: greeted(emitFrame(TYPE.data, FLAG.padded, 1, hex('02 00'))),
    want: ERROR.protocol,
  },
  {
    name: 'padding without its length',
    wire: greeted(emitFrame(TYPE.data, FLAG.padded, 1, Buffer.alloc(0))),
    want: ERROR.frameSize,
  },
  {
    name: 'more padding than head',
    wire: greeted(emitFrame(TYPE.headers, 0xc, 1, hex('02 00'))),
    want: ERROR.protocol,
  },
  {
    name: 'a priority cut short',
    wire: greeted(emitFrame(TYPE.headers, 0x24, 1, hex('00000000'))),
    want: ERROR.frameSize,
  },
  {
    name: 'a padded head without its pad length',
    wire: greeted(emitFrame(TYPE.headers, 0xc, 1, Buffer.alloc(0))),
    want: ERROR.frameSize,
  },
  {
    name: 'a header block in too many frames',
    wire: greeted(
      open,
      ...Array.from({ length: BLOCK_FRAMES }, () => emitFrame(TYPE.continuation, 0, 1, Buffer.alloc(0))),
    ),
    want: ERROR.enhanceYourCalm,
  },
  {
    name: 'a header block that is too long',
    wire: greeted(
      open,
      ...Array.from({ length: 4 }, () => emitFrame(TYPE.continuation, 0, 1, Buffer.alloc(16_384))),
    ),
    want: ERROR.enhanceYourCalm,
  },
];

for (const { name, wire, want } of faults) {
  test(`FrameReader ends the connection for ${name}`, () => {
    expect(read(wire).code).toBe(want);
  });
}

const streamErrors: { readonly name: string; readonly frame: Buffer; readonly want: ErrorCode }[] = [
  {
    name: 'WINDOW_UPDATE of nothing',
    frame: emitFrame(TYPE.window, 0, 1, Buffer.alloc(4)),
    want: ERROR.protocol,
  },
  {
    name: 'PRIORITY of a wrong size',
    frame: emitFrame(TYPE.priority, 0, 1, Buffer.alloc(4)),
    want: ERROR.frameSize,
  },
];

for (const { name, frame, want } of streamErrors) {
  test(`FrameReader blames one stream for ${name}`, () => {
    expect(read(greeted(frame)).frames.at(-1)).toEqual({ type: 'bad', stream: 1, code: want });
  });
}

test('FrameReader passes over frames of types that nobody knows', () => {
  expect(read(greeted(emitFrame(99, 0xff, 7, block), head)).frames.map(({ type }) => type)).toEqual([
    'settings',
    'idle',
    'headers',
  ]);
});

test('FrameReader leaves a stream alone that depends on itself', () => {
  const priority = emitFrame(TYPE.priority, 0, 1, hex('00000001 10'));
  expect(read(greeted(priority)).frames.at(-1)).toEqual({ type: 'idle' });
});

test('FrameReader reads the same frames however they are cut', () => {
  const wire = greeted(
    head,
    settings('0003 00000064 0004 00ffffff'),
    emitFrame(TYPE.data, FLAG.padded, 1, hex('03 616263 000000')),
    dataFrame(1, 'x'.repeat(300), false),
    emitFrame(TYPE.ping, 0, 0, hex('0102030405060708')),
    dataFrame(1, '', false),
    dataFrame(1, 'end'),
    SETTINGS,
  );
  const want = read(wire);
  expect(want.code).toBeNull();
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }), cuts => {
      expect(read(wire, cuts)).toEqual(want);
    }),
    { seed: 1, numRuns: 300 },
  );
  expect(read(wire, Array(wire.length).fill(1))).toEqual(want);
});

test('FrameReader never throws on noise', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), noise => {
      read(Buffer.from(noise));
      read(greeted(Buffer.from(noise)));
    }),
    { seed: 1, numRuns: 1000 },
  );
  const frame = fc.tuple(fc.nat(11), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 20 }));
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 10 }), list => {
      read(greeted(...list.map(([type, flags, stream, payload]) => emitFrame(type, flags, stream, payload))));
    }),
    { seed: 2, numRuns: 1000 },
  );
});
