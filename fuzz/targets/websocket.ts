/** WebSocket frames: every cut gives the same frames and the same fault, and a frame that is written reads as itself. */
import assert from 'node:assert';
import { emitFrame, type Frame, FrameReader } from '../../src/proxy/websocket/frames.js';
import { cutAtRandom, pieces, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';

const LIMIT = 4_096;

export const websocket: Target = {
  name: 'websocket',
  promise:
    'every cut of a dialogue gives the same frames and the same fault; a frame that is written reads as itself',
  seeds: () => VALID.map(hex => Buffer.from(hex, 'hex')),
  tokens: [
    '\x81\x00',
    '\x81\x80\0\0\0\0',
    '\x89\x00',
    '\x88\x02\x03\xe8',
    '\x80\x00',
    '\x00\x01a',
    '\x82\x7e\x00\x7e',
    '\x82\x7f\0\0\0\0\0\x01\0\0',
    '\x82\xff\x80\0\0\0\0\0\0\0',
    '\xc1\x01a',
    '\x83\x00',
    '\x8b\x00',
    '\x81\xfe\xff\xff',
  ],
  check,
};

/** The examples of RFC 6455 §5.7, and two messages in a row. */
const VALID = [
  '810548656c6c6f',
  '818537fa213d7f9f4d5158',
  '010348656c80026c6f',
  '890548656c6c6f',
  '8a8537fa213d7f9f4d5158',
  `827e0100${'ab'.repeat(256)}`,
  '818537fa213d7f9f4d5158888200000000e803',
];

interface Reading {
  readonly frames: readonly Frame[];
  readonly fault: string | null;
}

function read(segments: readonly Buffer[], masked: boolean): Reading {
  const reader = new FrameReader({ masked, maxPayload: LIMIT });
  const frames: Frame[] = [];
  for (const segment of segments) {
    const step = reader.push(segment);
    if (!step.ok) return { frames, fault: step.error };
    // A copy: what is given may be a view of what comes next.
    for (const frame of step.value)
      frames.push({ ...frame, payload: Buffer.from(frame.payload), raw: Buffer.from(frame.raw) });
  }
  // A fault behind whole frames is told at the next push.
  const last = reader.push(Buffer.alloc(0));
  return { frames, fault: last.ok ? null : last.error };
}

function check(input: Buffer, random: Random): string {
  const masked = random.below(2) === 0;
  const whole = read([Buffer.from(input)], masked);
  assert.deepStrictEqual(read(cutAtRandom(Buffer.from(input), random), masked), whole, 'a random cut');
  if (input.length <= 512) {
    assert.deepStrictEqual(
      read(pieces(Buffer.from(input), [...input.keys()]), masked),
      whole,
      'byte by byte',
    );
  }
  const raw = Buffer.concat(whole.frames.map(frame => frame.raw));
  assert.ok(input.subarray(0, raw.length).equals(raw), 'a frame is not what came');
  for (const { fin, opcode, payload } of whole.frames) {
    assert.ok(payload.length <= LIMIT, 'a frame is over the limit');
    const again = read([Buffer.from(emitFrame({ fin, opcode, payload }, null))], false);
    assert.equal(again.fault, null, 'what we write is refused by ourselves');
    assert.deepStrictEqual(
      again.frames.map(frame => [frame.fin, frame.opcode, frame.payload]),
      [[fin, opcode, Buffer.from(payload)]],
    );
  }
  if (whole.frames.length > 0) return whole.fault === null ? 'frames' : 'frames at first';
  return whole.fault === null ? 'incomplete' : 'refused';
}
