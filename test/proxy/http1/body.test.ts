import { joined } from '../../../src/proxy/http1/body.js';

const bytes = Buffer.from('abcdef');

test('pieces that stand behind one another are joined without a copy', () => {
  const whole = joined([bytes.subarray(1, 3), bytes.subarray(3, 3), bytes.subarray(3, 5)]);
  expect(whole.toString()).toBe('bcde');
  expect(whole.buffer).toBe(bytes.buffer);
  expect(whole.byteOffset).toBe(bytes.byteOffset + 1);
});

test.each([
  ['with a gap between them', [bytes.subarray(0, 2), bytes.subarray(3)], 'abdef'],
  ['in another order', [bytes.subarray(3), bytes.subarray(0, 3)], 'defabc'],
  ['twice the same', [bytes, bytes], 'abcdefabcdef'],
  ['of two buffers', [Buffer.from('ab'), Buffer.alloc(70_000, 'c').subarray(0, 2)], 'abcc'],
])('pieces %s are copied', (_, pieces, text) => {
  const whole = joined(pieces);
  expect(whole.toString()).toBe(text);
  expect(pieces).not.toContain(whole);
});

test('one piece is itself, and none is empty', () => {
  expect(joined([bytes])).toBe(bytes);
  expect(joined([])).toHaveLength(0);
});
