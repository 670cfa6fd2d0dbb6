/** What is kept between the messages of one connection gives what reading and writing anew would give. */
import fc from 'fast-check';
import { openFacts } from '../../../fuzz/references/http1.js';
import { type HeaderField, type HeaderList, isRepeated } from '../../../src/core/headers.js';
import { AuthorityReader } from '../../../src/proxy/http1/authority.js';
import { HpackDecoder } from '../../../src/proxy/http2/hpack-decoder.js';
import { emitFields, WrittenFields } from '../../../src/proxy/http2/hpack-encoder.js';
import { parseHead, SectionReader } from '../../../src/proxy/http2/request-head.js';
import { AnswerReader, parseAnswerHead } from '../../../src/proxy/upstream/h2-fields.js';
import { headerBlock } from '../../support/h2-frames.js';

const NONE: ReadonlySet<string> = new Set();

/** Few enough that many come again, in part or whole. */
const field = fc.constantFrom<HeaderField>(
  ['accept', '*/*'],
  ['accept', 'text/html'],
  ['user-agent', 'curl/8'],
  ['cookie', 'a=1'],
  ['cookie', 'b=2'],
  ['content-length', '0'],
  ['trailer', 'x-end'],
  ['te', 'trailers'],
  ['connection', 'close'],
  ['http2-settings', 'AAMAAABk'],
  ['x', 'bad\n'],
  ['', 'nameless'],
);
const list = fc.array(field, { maxLength: 4 });
const path = fc.constantFrom('/', '/a', '/b?c', 'bad');

test('HpackDecoder reads a block that came again as one that did not', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ fields: list, indexed: fc.boolean(), huffman: fc.boolean() }), { maxLength: 12 }),
      messages => {
        const kept = new HpackDecoder({ bytes: 4_096, fields: 3 });
        const anew = new HpackDecoder({ bytes: 4_096, fields: 3 });
        for (const { fields, indexed, huffman } of messages) {
          const block = headerBlock(fields, { indexed, huffman });
          // An empty block between two leaves the table as it is, and nothing to compare with.
          anew.decode(Buffer.alloc(0));
          expect(kept.decode(block)).toEqual(anew.decode(block));
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

test('HpackDecoder reads a block anew when the table has changed under it', () => {
  const decoder = new HpackDecoder({ bytes: 4_096, fields: 10 });
  const add = (value: string): void => void decoder.decode(headerBlock([['x', value]], { indexed: true }));
  const newest = Buffer.of(0xbe);
  add('one');
  expect(decoder.decode(newest)).toMatchObject({ value: { fields: [['x', 'one']] } });
  expect(decoder.decode(newest)).toMatchObject({ value: { fields: [['x', 'one']] } });
  add('two');
  expect(decoder.decode(newest)).toMatchObject({ value: { fields: [['x', 'two']] } });
});

test('HpackDecoder keeps a copy: the bytes of a block are its buffer’s, which is used again', () => {
  const decoder = new HpackDecoder({ bytes: 4_096, fields: 10 });
  const block = headerBlock([['x', 'one']]);
  decoder.decode(block);
  headerBlock([['x', 'two']]).copy(block);
  expect(decoder.decode(block)).toMatchObject({ value: { fields: [['x', 'two']] } });
});

test('SectionReader reads fields that came again as those that did not', () => {
  const authorities = new AuthorityReader(openFacts('https'));
  fc.assert(
    fc.property(
      fc.array(fc.record({ path, fields: list, endStream: fc.boolean(), late: fc.boolean() }), {
        maxLength: 12,
      }),
      messages => {
        const sections = new SectionReader();
        for (const { path, fields, endStream, late } of messages) {
          const pseudo: HeaderList = [
            [':method', 'POST'],
            [':scheme', 'https'],
            [':authority', 'a.test'],
            ...(late ? [] : [[':path', path] as const]),
          ];
          const all = [...pseudo, ...fields, ...(late ? [[':path', path] as const] : [])];
          const reading = { authorities, endStream, contentBytes: 1_000, wireBytes: 7 };
          expect(parseHead(all, { ...reading, sections })).toEqual(
            parseHead(all, { ...reading, sections: new SectionReader() }),
          );
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

test('fields are one list from their second time on, and noted as such', () => {
  const sections = new SectionReader();
  const authorities = new AuthorityReader(openFacts('https'));
  const headersOf = (path: string): HeaderList => {
    const fields: HeaderList = [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':authority', 'a.test'],
      [':path', path],
      ['accept', '*/*'],
    ];
    const head = parseHead(fields, { authorities, sections, endStream: true, contentBytes: 0, wireBytes: 0 });
    if (!head.ok) throw new Error(head.error.code);
    return head.value.headers;
  };
  const first = headersOf('/a');
  expect(isRepeated(first)).toBe(false);
  expect(headersOf('/b')).toBe(first);
  expect(isRepeated(first)).toBe(true);
});

test('AnswerReader reads a head that came again as one that did not', () => {
  const status = fc.constantFrom('200', '204', '304', '407', '2000');
  const answer = fc.record({ status, fields: list, method: fc.constantFrom('GET', 'HEAD') });
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 12 }), answers => {
      const reader = new AnswerReader();
      for (const { status, fields, method } of answers) {
        const all: HeaderList = [[':status', status], ...fields];
        expect(reader.read(all, method)).toEqual(parseAnswerHead(all, method));
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

/** A list that a reader has seen twice. */
function repeated(fields: HeaderList): HeaderList {
  const reader = new AnswerReader();
  const all: HeaderList = [[':status', '200'], ...fields];
  reader.read(all, 'GET');
  const head = reader.read(all, 'GET');
  if (!head.ok) throw new Error(head.error);
  return head.value.headers;
}

test('WrittenFields writes a list that comes again as it was written, and where a secret stands, so that nobody indexes it', () => {
  const written = new WrittenFields();
  const headers = repeated([
    ['authorization', 'Bearer s'],
    ['accept', '*/*'],
  ]);
  const before: HeaderList = [[':method', 'GET']];
  const after: HeaderList = [['content-length', '3']];
  const all = [...before, ...headers, ...after];
  for (const sensitive of [NONE, new Set(['authorization']), NONE]) {
    expect(written.get(headers, sensitive)).toBeNull();
    const common = written.keep(headers, sensitive, headers);
    expect(written.get(headers, sensitive)).toBe(common);
    const block = emitFields({ before, common, after }, 9, sensitive);
    expect(block.subarray(9)).toEqual(emitFields(all, 0, sensitive));
  }
});

test('WrittenFields keeps nothing of a list that came once', () => {
  const written = new WrittenFields();
  const once: HeaderList = [['accept', '*/*']];
  expect(written.keep(once, NONE, once)).toBe(once);
  expect(written.get(once, NONE)).toBeNull();
});
