import fc from 'fast-check';
import { AsciiWriter } from '../../../src/events/ascii.js';
import {
  emitCheckpoint,
  emitHead,
  emitManifest,
  hashOf,
  NO_HASH,
  parseManifest,
  parseSegmentFile,
  parseSpoolLine,
  segmentFile,
  signatureOf,
  writeRecord,
} from '../../../src/events/spool/format.js';
import { eventOf } from './support.js';

const SEED = { seed: 20_261_127, numRuns: 300 };
const sign = (): string => 'x'.repeat(86);
const count = fc.integer({ min: 0, max: 999_999_999_999 });
const id = fc.stringMatching(/^[0-9a-f]{1,32}$/);
const prev = fc.string({ maxLength: 20 }).map(hashOf);

test('parseSpoolLine gives back what emitHead and emitCheckpoint made', () => {
  const parts = fc.record({
    segment: fc.nat(99_999_999),
    first: count,
    gatewayId: id,
    seq: count,
    timestamp: count,
    prev,
    spool: id,
  });
  fc.assert(
    fc.property(parts, fc.boolean(), (given, closed) => {
      const head = { ...given, format: 1 };
      expect(parseSpoolLine(emitHead(head, sign))).toEqual({ kind: 'head', ...head });
      const { first: n, spool, timestamp, prev: hash } = given;
      const checkpoint = { n, spool, timestamp, closed, prev: hash };
      expect(parseSpoolLine(emitCheckpoint(checkpoint, sign))).toEqual({ kind: 'checkpoint', ...checkpoint });
      expect(parseSegmentFile(segmentFile(given))).toMatchObject({
        segment: given.segment,
        first: given.first,
        seq: given.seq,
      });
    }),
    SEED,
  );
});

test('parseSpoolLine gives back the record of an event', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 999_999_999 }), prev, (n, hash) => {
      const event = eventOf('aa', n);
      const writer = new AsciiWriter();
      writeRecord(writer, n, hash, event);
      const line = parseSpoolLine(writer.text());
      expect(line).toMatchObject({ kind: 'record', n, prev: hash });
      expect(JSON.parse(line?.kind === 'record' ? line.event : '')).toEqual(event);
    }),
    SEED,
  );
});

test('parseManifest gives back what emitManifest made, and the number of another format', () => {
  const manifest = { format: 1, spool: 'ab', key: NO_HASH, created: 5, segment: 3, first: 77, prev: NO_HASH };
  expect(parseManifest(emitManifest(manifest, sign))).toEqual(manifest);
  expect(parseManifest('{"format":9,"whatever":1}')).toBe(9);
  for (const text of ['', '{}', '{"format":1}', 'format']) expect(parseManifest(text)).toBeNull();
});

test('no text makes the parsers throw, and none that is not a line is taken for one', () => {
  const head = emitHead(
    { segment: 1, format: 1, spool: 'a', first: 1, gatewayId: 'b', seq: 1, timestamp: 1, prev: NO_HASH },
    sign,
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.constant(head)),
      fc.nat(300),
      fc.string({ minLength: 1, maxLength: 3 }),
      (text, at, change) => {
        const changed = text.slice(0, at) + change + text.slice(at);
        for (const one of [text, changed, `{"n":${text}`, `{"checkpoint":${text}`]) {
          parseSpoolLine(one);
          parseManifest(one);
          signatureOf(one);
          parseSegmentFile(one);
        }
        expect(parseSpoolLine(`${text}\n`)).toBeNull();
      },
    ),
    SEED,
  );
});
