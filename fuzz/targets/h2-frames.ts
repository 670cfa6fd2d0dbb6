/** HTTP/2 frames and header blocks: every cut reads the same, and a list that is written reads as itself. */
import assert from 'node:assert';
import { authorityText } from '../../src/core/authority.js';
import { AuthorityReader } from '../../src/proxy/http1/authority.js';
import { FrameReader } from '../../src/proxy/http2/frame-reader.js';
import { HpackDecoder } from '../../src/proxy/http2/hpack-decoder.js';
import { emitFields } from '../../src/proxy/http2/hpack-encoder.js';
import { parseHead, SectionReader } from '../../src/proxy/http2/request-head.js';
import { cutAtRandom, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { openFacts } from '../references/http1.js';
import { bytesOf, short } from '../seeds.js';

export const H2_TOKENS: readonly string[] = [
  ...[
    '\0\0\0\x04\0\0\0\0\0',
    '\0\0\0\x04\x01\0\0\0\0',
    '\0\0\x08\x06\0\0\0\0\0abcdefgh',
    '\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08',
  ],
  ...[
    '\0\0\x04\x08\0\0\0\0\0\0\0\0\x01',
    '\0\0\0\0\x01\0\0\0\x01',
    '\0\0\x03\0\x01\0\0\0\x01abc',
    '\0\0\0\x09\x04\0\0\0\x01',
  ],
  ...[
    '\x82',
    '\x83',
    '\x84',
    '\x86',
    '\x87',
    '\x41\x08\x9d\x29\xac\x4b\x8f\xa8\xe9\x19',
    '\x3f\xe1\x1f',
    '\x20',
    '\xbe',
    '\x7f\xff\xff\xff\x7f',
  ],
  ...[
    '\0\x07:method\x03GET',
    '\0\x05:path\x02/p',
    '\0\x07:scheme\x05https',
    '\0\x0a:authority\x0callowed.test',
    '\0\x04host\x0callowed.test',
  ],
  ...[
    '\0\x0econtent-length\x013',
    '\0\x11transfer-encoding\x07chunked',
    '\0\x06cookie\x03a=1',
    '\x40\x01a\x01b',
    '\r\n',
    '\0',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ],
];

export const h2Frames: Target = {
  name: 'h2-frames',
  promise:
    'every cut of an HTTP/2 stream gives the same frames, lists and requests; a list that is written reads as itself',
  seeds: () => short(bytesOf('h2', 'raw_b64'), 4_096),
  tokens: H2_TOKENS,
  check,
};

interface Reading {
  readonly log: readonly string[];
  readonly fault: string | null;
  readonly requests: number;
}

function check(input: Buffer, random: Random): string {
  const whole = read([input]);
  assert.deepStrictEqual(read(cutAtRandom(input, random)), whole, 'the cut decides what is read');
  if (whole.requests > 0) return 'requests';
  return whole.fault === null ? 'frames' : 'refused';
}

/** Frames as text, pieces of one DATA frame joined; lists as their fields. */
function read(pieces: readonly Buffer[]): Reading {
  const frames = new FrameReader();
  const lists = new HpackDecoder({ bytes: 65_536, fields: 200 });
  const authorities = new AuthorityReader(openFacts('https'));
  const sections = new SectionReader();
  const log: string[] = [];
  let requests = 0;
  for (const piece of pieces) {
    const batch = frames.push(Buffer.from(piece));
    for (const frame of batch.frames) {
      if (frame.type === 'data') {
        const last = log.length - 1;
        const text = `data ${frame.stream} `;
        const more = `${frame.bytes.toString('latin1')}`;
        if (frame.starts) log.push(`${text}${frame.flow - frame.bytes.length} `);
        log[frame.starts ? last + 1 : last] += `${more}${frame.end ? ' end' : ''}`;
      } else if (frame.type === 'headers') {
        const list = lists.decode(frame.block);
        if (!list.ok) return { log, fault: list.error, requests };
        writesAsRead(list.value.fields);
        const head = parseHead(list.value.fields, {
          authorities,
          sections,
          endStream: frame.end,
          contentBytes: 1e6,
          wireBytes: frame.wireBytes,
        });
        if (head.ok) requests += 1;
        const said = head.ok
          ? [head.value.method, head.value.path, authorityText(head.value.authority)]
          : head.error;
        log.push(JSON.stringify([frame.stream, frame.end, frame.wireBytes, list.value, said]));
      } else log.push(JSON.stringify(frame));
    }
    if (batch.fault !== null) return { log, fault: batch.fault.reason, requests };
  }
  return { log, fault: null, requests };
}

function writesAsRead(fields: readonly (readonly [string, string])[]): void {
  const again = new HpackDecoder({ bytes: 1e6, fields: 1e3 }).decode(emitFields(fields));
  assert.ok(again.ok, 'what we write is no block');
  assert.deepStrictEqual(again.value.fields, fields);
}
