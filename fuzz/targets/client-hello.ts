/** ClientHellos: every cut gives the same, and OpenSSL reads no other name and no other protocols. */
import assert from 'node:assert';
import { HelloReader } from '../../src/proxy/tls/hello-reader.js';
import {
  type HelloParts,
  handshakeMessage,
  hello,
  helloBody,
  records,
} from '../../test/support/client-hello.js';
import { cutAtRandom, pieces, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { opensslReads } from '../references/tls.js';
import { casesOf } from '../seeds.js';

export const clientHello: Target = {
  name: 'client-hello',
  promise:
    'every cut of a ClientHello gives the same outcome, and OpenSSL reads the same name and protocols in it',
  seeds: () => [...fromCorpus(), ...VALID.map(hello), records(handshakeMessage(helloBody(BOTH)), 7)],
  tokens: [
    '\x16\x03\x01',
    '\x16\x03\x03',
    '\x01\0\0',
    '\0\0',
    '\0\x01',
    '\x03\x04',
    '\x02\x03\x04',
    '\0\x10',
    '\0\x2b',
    '\xfe\x0d',
    '\0\0\0\x11\0\x0f\0\0\x0callowed.test',
    'allowed.test',
    '\0\0\x0c',
    '.',
    '\0',
    '\x02h2',
    '\x08http/1.1',
    '\xff\x01\0\x01\0',
    '\x0a\x0a',
  ],
  check,
};

const BOTH: HelloParts = {
  serverNames: ['allowed.test'],
  alpn: ['h2', 'http/1.1'],
  versions: [0x0304, 0x0303],
};
const VALID: readonly HelloParts[] = [
  BOTH,
  { serverNames: ['allowed.test'] },
  { versions: [0x0304] },
  { serverNames: ['A.b-c.TEST'], alpn: ['http/1.1'], more: [[0xfe0d, Buffer.alloc(40)]] },
];

function fromCorpus(): Buffer[] {
  return casesOf('sni').flatMap(({ server_names: names }) =>
    Array.isArray(names) && names.every(name => typeof name === 'string' && name.length < 300)
      ? [hello({ serverNames: names })]
      : [],
  );
}

type Outcome = ReturnType<HelloReader['push']>;

function read(segments: readonly Buffer[]): Outcome {
  const reader = new HelloReader();
  let outcome: Outcome = { ok: true, value: 'incomplete' };
  for (const segment of segments) {
    outcome = reader.push(segment);
    if (!outcome.ok || outcome.value !== 'incomplete') return outcome;
  }
  return outcome;
}

function check(input: Buffer, random: Random): string | Promise<string> {
  const whole = read([input]);
  // A hello that ends its record is read as soon as it is there: what comes behind it is nobody's concern here.
  assert.deepStrictEqual(read(cutAtRandom(input, random)), whole, 'a random cut');
  assert.deepStrictEqual(read(pieces(input, [...input.keys()])), whole, 'byte by byte');
  if (!whole.ok) return 'refused';
  return whole.value === 'incomplete' ? 'incomplete' : compare(input, whole.value);
}

async function compare(
  input: Buffer,
  ours: { readonly serverName: string | null; readonly alpn: readonly string[] },
): Promise<string> {
  const theirs = await opensslReads(input);
  if (theirs.serverName === null && theirs.protocols === null) return 'ours alone';
  if (theirs.serverName !== null)
    assert.equal(theirs.serverName.toLowerCase(), ours.serverName, 'another name');
  if (theirs.protocols !== null)
    assert.deepStrictEqual(theirs.protocols, ours.alpn.map(asAscii), 'other protocols');
  return 'both';
}

/** Node hands protocols on as ASCII: the high bit of each byte is lost. */
function asAscii(protocol: string): string {
  return Buffer.from(protocol, 'latin1').toString('ascii');
}
