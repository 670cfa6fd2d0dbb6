import fc from 'fast-check';
import { HEAD_LIMITS, scanHead } from '../../../src/proxy/http1/head-scan.js';
import { Unread } from '../../../src/proxy/http1/unread.js';

test('Unread is the bytes that were appended and not skipped', () => {
  const step = fc.oneof(fc.uint8Array({ maxLength: 2000 }), fc.nat({ max: 3000 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const unread = new Unread();
      let model = Buffer.alloc(0);
      for (const next of steps) {
        if (typeof next === 'number') {
          const count = Math.min(next, model.length);
          unread.skip(count);
          model = model.subarray(count);
        } else {
          unread.append(Buffer.from(next));
          model = Buffer.concat([model, next]);
        }
        expect(unread.bytes.equals(model)).toBe(true);
      }
      expect(unread.take().equals(model)).toBe(true);
      expect(unread.length).toBe(0);
    }),
    { seed: 27, numRuns: 200 },
  );
});

test('what was taken is not overwritten by what comes later', () => {
  const unread = new Unread();
  unread.append(Buffer.from('a'));
  unread.append(Buffer.from('b'));
  const taken = unread.take();
  unread.append(Buffer.from('c'));
  unread.append(Buffer.from('d'));
  expect([taken.toString(), unread.bytes.toString()]).toEqual(['ab', 'cd']);
});

const scans: readonly [string, string, unknown][] = [
  ['finds the end of a head', 'A\r\n\r\nB', 5],
  ['waits for the rest', 'A\r\n\r', 'incomplete'],
  ['waits behind a CR', 'A\r', 'incomplete'],
  ['refuses a bare LF at once', 'A\n', 'bad-line-end'],
  ['refuses a bare CR at once', 'A\rB', 'bad-line-end'],
  ['refuses a first byte that begins no token', '\x04', 'bad-request-line'],
  ['refuses a line over its limit', 'A'.repeat(HEAD_LIMITS.lineBytes + 1), 'target-too-long'],
  ['takes a line of its limit', `${'A'.repeat(HEAD_LIMITS.lineBytes)}\r\n\r\n`, HEAD_LIMITS.lineBytes + 4],
  ['refuses a head over its limit', `A\r\n${'B'.repeat(HEAD_LIMITS.headBytes)}`, 'head-too-large'],
];

for (const [name, text, want] of scans) {
  test(`scanHead ${name}, however it arrives`, () => {
    const bytes = Buffer.from(text, 'latin1');
    const outcome = (): unknown => {
      for (let end = 1, scanned = 0; end <= bytes.length; end++) {
        const scan = scanHead(bytes.subarray(0, end), scanned, HEAD_LIMITS);
        if (!scan.ok) return scan.error;
        if (scan.value !== 'incomplete') return scan.value;
        scanned = end;
      }
      return 'incomplete';
    };
    const whole = scanHead(bytes, 0, HEAD_LIMITS);
    expect([whole.ok ? whole.value : whole.error, outcome()]).toEqual([want, want]);
  });
}
