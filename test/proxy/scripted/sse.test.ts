import fc from 'fast-check';
import { SseReader } from '../../../src/proxy/scripted/sse.js';

function read(text: string, at: readonly number[] = []): { texts: string[]; bytes: string } {
  const reader = new SseReader();
  const bytes = Buffer.from(text);
  const cuts = [...new Set(at.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces = [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length));
  const events = pieces.flatMap(piece => reader.push(piece));
  const last = reader.end();
  if (last !== null) events.push(last);
  return {
    texts: events.flatMap(event => event.text ?? []),
    bytes: Buffer.concat(events.map(event => event.raw)).toString(),
  };
}

test.each([
  ['data: a\n\n', ['a']],
  ['data:a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
  ['data: a\r\rdata: b\r\r', ['a', 'b']],
  ['data: a\ndata: b\nid: 1\n\n', ['a\nb']],
  ['data\n\n', ['']],
  [': only a comment\n\n', []],
  ['retry: 5\n\n\n\ndata:  x\n\n', [' x']],
  ['\ufeffdata: a\n\n', ['a']],
  ['data: unfinished', ['unfinished']],
  ['\n\n\n', []],
])('%j holds %j', (text, texts) => {
  expect(read(text)).toEqual({ texts, bytes: text });
});

test('however the bytes come, the events are the same and no byte is lost', () => {
  const part = fc.constantFrom(
    'data: a',
    'data:b',
    ': c',
    'event: x',
    '\n',
    '\r\n',
    '\r',
    '\n\n',
    '\r\n\r\n',
    'é',
  );
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 20 }),
      fc.array(fc.nat(200), { maxLength: 10 }),
      (parts, cuts) => {
        const text = parts.join('');
        expect(read(text, cuts)).toEqual(read(text));
        expect(read(text, cuts).bytes).toBe(text);
      },
    ),
    { seed: 11, numRuns: 500 },
  );
});

test('an event goes on as soon as it is whole, its last line end included', () => {
  const reader = new SseReader();
  const sent = (bytes: string): string =>
    Buffer.concat(reader.push(Buffer.from(bytes)).map(event => event.raw)).toString();
  expect(sent('data: a\r\n\r')).toBe('data: a\r\n\r');
  expect(sent('\n')).toBe('\n');
  expect(reader.held).toBe(0);
});
