/** A grammar of what HTTP/2 servers send: sequences of frames, most of them right, to begin mutating with. Pure. */
import type { HeaderField, HeaderList } from '../../src/core/headers.js';
import { emitFrame, FLAG, TYPE } from '../../src/proxy/http2/frames.js';
import { emitFields } from '../../src/proxy/http2/hpack-encoder.js';
import { Random } from '../engine/random.js';

const SEQUENCES = 300;
const GRAMMAR_SEED = 7;

/** Streams that the requests of the target have, one that they have not, and one that no client may have. */
const STREAMS = [1, 1, 1, 3, 3, 5, 5, 7, 2, 0] as const;
const STATUSES = ['200', '200', '200', '204', '304', '404', '500', '100', '103', '101', '099', '2x0', ''];
const FIELDS: HeaderList = [
  ['content-length', '0'],
  ['content-length', '5'],
  ['content-length', '70000'],
  ['content-type', 'text/plain'],
  ['set-cookie', 'a=b'],
  ['connection', 'close'],
  ['transfer-encoding', 'chunked'],
  ['X', 'upper'],
  ['x', 'a\r\nb'],
  [':status', '200'],
  [':path', '/'],
  ['trailer', 'x'],
];
const CODES = [0, 1, 2, 3, 5, 7, 8, 11];

/** The same at every call: conversations with at most one frame that has no place there, and any frames at all. */
export function answerSeeds(): Buffer[] {
  const random = new Random(GRAMMAR_SEED);
  return Array.from({ length: SEQUENCES }, (_, i) => {
    const frames = i % 4 === 0 ? anything(random) : conversation(random);
    return Buffer.concat([settings(), ...frames]);
  });
}

function anything(random: Random): Buffer[] {
  return Array.from({ length: 1 + random.below(12) }, () => random.pick(FRAMES)(random));
}

/** Answers to all three requests, their frames mixed. */
function conversation(random: Random): Buffer[] {
  const queues = [1, 3, 5].map(stream => answer(stream, random));
  const frames: Buffer[] = [];
  while (queues.some(queue => queue.length > 0)) {
    const frame = random.pick(queues).shift();
    if (frame !== undefined) frames.push(frame);
  }
  if (random.below(2) === 0) frames.splice(random.below(frames.length + 1), 0, random.pick(FRAMES)(random));
  return frames;
}

function answer(stream: number, random: Random): Buffer[] {
  const content = Buffer.alloc(random.pick([0, 1, 5, 300, 5_000]), `${stream}`);
  const at = random.below(content.length + 1);
  const list: HeaderField[] = [[':status', random.pick(['200', '200', '404', '500'])]];
  if (random.below(3) === 0) list.push(['content-length', `${content.length}`]);
  if (random.below(3) === 0) list.push(['x-stream', `${stream}`]);
  const block = (flags: number, fields: HeaderList): Buffer =>
    emitFrame(TYPE.headers, FLAG.endHeaders | flags, stream, Buffer.from(emitFields(fields)));
  const interim = random.below(5) === 0 ? [block(0, [[':status', '103']])] : [];
  const first = emitFrame(TYPE.data, 0, stream, content.subarray(0, at));
  const rest = content.subarray(at);
  const last =
    random.below(3) === 0
      ? [emitFrame(TYPE.data, 0, stream, rest), block(FLAG.endStream, [['x-checksum', `${stream}`]])]
      : [emitFrame(TYPE.data, FLAG.endStream, stream, rest)];
  return [...interim, block(0, list), first, ...last];
}

const settings = (): Buffer => emitFrame(TYPE.settings, 0, 0, Buffer.alloc(0));

type Make = (random: Random) => Buffer;

const FRAMES: readonly Make[] = [
  head,
  head,
  head,
  data,
  data,
  data,
  data,
  trailers,
  split,
  random => emitFrame(TYPE.reset, 0, random.pick(STREAMS), word(random.pick(CODES))),
  random =>
    emitFrame(TYPE.goaway, 0, 0, Buffer.concat([word(random.pick(STREAMS)), word(random.pick(CODES))])),
  random => emitFrame(TYPE.window, 0, random.pick(STREAMS), word(random.pick([0, 1, 65_535, 0x7fffffff]))),
  random => emitFrame(TYPE.ping, random.below(2), 0, Buffer.alloc(8)),
  random => emitFrame(TYPE.settings, 0, 0, setting(random)),
  random => emitFrame(200 + random.below(8), random.below(256), random.pick(STREAMS), Buffer.alloc(3)),
  random => emitFrame(TYPE.priority, 0, random.pick(STREAMS), Buffer.alloc(5)),
  random => emitFrame(TYPE.push, FLAG.endHeaders, random.pick(STREAMS), word(2)),
];

function listOf(random: Random): HeaderList {
  const more = Array.from({ length: random.below(3) }, () => random.pick(FIELDS));
  return [[':status', random.pick(STATUSES)], ...more];
}

function head(random: Random): Buffer {
  const end = random.below(4) === 0 ? FLAG.endStream : 0;
  return emitFrame(
    TYPE.headers,
    FLAG.endHeaders | end,
    random.pick(STREAMS),
    Buffer.from(emitFields(listOf(random))),
  );
}

function trailers(random: Random): Buffer {
  const list: HeaderList = [random.pick(FIELDS), ['x-checksum', '1']];
  return emitFrame(
    TYPE.headers,
    FLAG.endHeaders | FLAG.endStream,
    random.pick(STREAMS),
    Buffer.from(emitFields(list)),
  );
}

/** A head in two or three frames. */
function split(random: Random): Buffer {
  const stream = random.pick(STREAMS);
  const block = Buffer.from(emitFields(listOf(random)));
  const at = random.below(block.length + 1);
  return Buffer.concat([
    emitFrame(TYPE.headers, random.below(2), stream, block.subarray(0, at)),
    emitFrame(TYPE.continuation, 0, stream, block.subarray(at, at)),
    emitFrame(TYPE.continuation, FLAG.endHeaders, stream, block.subarray(at)),
  ]);
}

/** Content that tells its stream, padded at times. */
function data(random: Random): Buffer {
  const stream = random.pick(STREAMS);
  const content = Buffer.alloc(random.pick([0, 1, 5, 5, 300, 5_000]), `${stream}`);
  const end = random.below(3) === 0 ? FLAG.endStream : 0;
  if (random.below(4) > 0) return emitFrame(TYPE.data, end, stream, content);
  const padding = random.below(20);
  return emitFrame(
    TYPE.data,
    end | FLAG.padded,
    stream,
    Buffer.concat([Buffer.of(padding), content, Buffer.alloc(padding)]),
  );
}

function setting(random: Random): Buffer {
  const value = Buffer.alloc(6);
  value.writeUInt16BE(random.below(9), 0);
  value.writeUInt32BE(random.pick([0, 1, 100, 65_535, 16_384, 0x7fffffff, 0xffffffff]), 2);
  return value;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
