import fc from 'fast-check';
import { emitFrame, OPCODE, type Opcode } from '../../../src/proxy/websocket/frames.js';
import { type Incoming, type MessageFault, MessageReader } from '../../../src/proxy/websocket/messages.js';

const SEED = { seed: 6455, numRuns: 300 };

function frame(opcode: Opcode, payload: string | Uint8Array, fin = true): Uint8Array {
  return emitFrame({ fin, opcode, payload: Buffer.from(payload) }, null);
}

const { text, binary, continuation, ping, close } = OPCODE;

interface Case {
  readonly name: string;
  readonly frames: readonly Uint8Array[];
  readonly messages?: readonly string[];
  readonly fault?: MessageFault;
}

const cases: readonly Case[] = [
  { name: 'gives a text', frames: [frame(text, 'a')], messages: ['text a'] },
  {
    name: 'joins fragments, with a ping between them',
    frames: [frame(text, 'a', false), frame(ping, 'p'), frame(continuation, 'b')],
    messages: ['control p', 'text ab'],
  },
  {
    name: 'joins a character that was cut in two',
    frames: [frame(text, Buffer.from('c3', 'hex'), false), frame(continuation, Buffer.from('a9', 'hex'))],
    messages: ['text é'],
  },
  {
    name: 'refuses text that is not UTF-8',
    frames: [frame(text, Buffer.from('c3', 'hex'))],
    fault: 'bad-utf8',
  },
  {
    name: 'lets binary be anything',
    frames: [frame(binary, Buffer.from('41', 'hex'))],
    messages: ['binary A'],
  },
  {
    name: 'refuses a continuation of nothing',
    frames: [frame(continuation, 'b')],
    fault: 'bad-continuation',
  },
  {
    name: 'refuses a message within a message',
    frames: [frame(text, 'a', false), frame(text, 'b')],
    fault: 'bad-continuation',
  },
  {
    name: 'refuses a message that is too long',
    frames: [frame(text, 'x'.repeat(65))],
    fault: 'frame-too-long',
  },
  {
    name: 'refuses fragments that are too long together',
    frames: [frame(text, 'x'.repeat(60), false), frame(continuation, 'x'.repeat(5))],
    fault: 'message-too-long',
  },
  { name: 'gives a close', frames: [frame(close, '')], messages: ['control '] },
  { name: 'refuses half a close code', frames: [frame(close, '\u0003')], fault: 'bad-close' },
  {
    name: 'refuses a close code that nobody may send',
    frames: [frame(close, Buffer.from('03ed', 'hex'))],
    fault: 'bad-close',
  },
  {
    name: 'refuses a frame behind a close',
    frames: [frame(close, ''), frame(text, 'a')],
    messages: ['control '],
    fault: 'bad-close',
  },
];

function read(bytes: Uint8Array, cuts: readonly number[]): { seen: Incoming[]; fault: MessageFault | null } {
  const reader = new MessageReader({ masked: false, maxBytes: 64 });
  const seen: Incoming[] = [];
  const ends = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    const { messages, fault } = reader.push(bytes.subarray(from, end));
    seen.push(...messages);
    if (fault !== null) return { seen, fault };
    from = end;
  }
  return { seen, fault: null };
}

const shown = ({ kind, payload }: Incoming): string => `${kind} ${Buffer.from(payload)}`;

for (const { name, frames, messages = [], fault = null } of cases) {
  test(`MessageReader ${name}`, () => {
    const got = read(Buffer.concat(frames), []);
    expect({ seen: got.seen.map(shown), fault: got.fault }).toEqual({ seen: messages, fault });
  });
}

test('MessageReader says the same however the bytes were cut, and never throws', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .array(fc.constantFrom(...cases.flatMap(({ frames }) => frames)), { maxLength: 6 })
      .map(frames => Buffer.concat(frames)),
  );
  fc.assert(
    fc.property(bytes, fc.array(fc.nat()), (sent, cuts) => {
      const whole = read(sent, []);
      const cut = read(sent, cuts);
      expect(cut.seen.map(shown)).toEqual(whole.seen.map(shown));
      expect(cut.fault).toEqual(whole.fault);
    }),
    SEED,
  );
});
