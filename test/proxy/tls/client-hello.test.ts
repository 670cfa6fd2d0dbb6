import fc from 'fast-check';
import type { HelloFault } from '../../../src/proxy/tls/client-hello.js';
import { HELLO_LIMIT, HelloReader, readClientHello } from '../../../src/proxy/tls/hello-reader.js';
import {
  bytes,
  type HelloParts,
  handshakeMessage,
  hello,
  helloBody,
  records,
  serverNameList,
  u16,
  vector16,
} from '../../support/client-hello.js';

const NAMED: HelloParts = { serverNames: ['allowed.test'] };

test('readClientHello reads name, protocols and versions', () => {
  const wire = hello({ ...NAMED, alpn: ['h2', 'http/1.1'], versions: [0x1a1a, 0x0304, 0x0303] });
  expect(readClientHello(wire)).toEqual({
    ok: true,
    value: {
      serverName: 'allowed.test',
      alpn: ['h2', 'http/1.1'],
      versions: [0x1a1a, 0x0304, 0x0303],
      encryptedHello: false,
    },
  });
});

interface Accepted {
  readonly name: string;
  readonly parts: HelloParts;
  readonly want: object;
}

const accepted: Accepted[] = [
  {
    name: 'lower-cases the name',
    parts: { serverNames: ['Allowed.TEST'] },
    want: { serverName: 'allowed.test' },
  },
  { name: 'gives null without a server_name', parts: {}, want: { serverName: null, alpn: [] } },
  { name: 'takes the legacy field for the version', parts: NAMED, want: { versions: [0x0303] } },
  {
    name: 'reads a legacy version above 1.2 as 1.2',
    parts: { ...NAMED, legacyVersion: 0x0304 },
    want: { versions: [0x0303] },
  },
  {
    name: 'notes an encrypted hello and keeps the outer name',
    parts: { ...NAMED, more: [[0xfe0d, Buffer.of(0, 1, 2)]] },
    want: { serverName: 'allowed.test', encryptedHello: true },
  },
  { name: 'notes ESNI', parts: { ...NAMED, more: [[0xffce, Buffer.of(1)]] }, want: { encryptedHello: true } },
];

for (const { name, parts, want } of accepted) {
  test(`readClientHello ${name}`, () => {
    expect(readClientHello(hello(parts))).toMatchObject({ ok: true, value: want });
  });
}

const message = handshakeMessage(helloBody(NAMED));
const body = helloBody(NAMED);

interface Refused {
  readonly name: string;
  readonly wire: Uint8Array;
  readonly want: HelloFault;
}

const named = (text: string): Buffer => hello({ serverNames: [text] });

const refused: Refused[] = [
  { name: 'an address for a name', wire: named('127.0.0.1'), want: 'bad-server-name' },
  { name: 'an IPv6 address for a name', wire: named('::1'), want: 'bad-server-name' },
  { name: 'a spelling of an address', wire: named('0x7f.1'), want: 'bad-server-name' },
  { name: 'an empty name', wire: named(''), want: 'bad-server-name' },
  { name: 'a wildcard', wire: named('*.allowed.test'), want: 'bad-server-name' },
  { name: 'a trailing dot', wire: named('allowed.test.'), want: 'bad-server-name' },
  { name: 'a NUL in the name', wire: named('allowed.test\0.evil.test'), want: 'bad-server-name' },
  { name: 'a line break in the name', wire: named('allowed.test\r\nX: y'), want: 'bad-server-name' },
  { name: 'a byte above ASCII', wire: named('allowed.test\xe9'), want: 'bad-server-name' },
  { name: 'two names', wire: hello({ serverNames: ['allowed.test', 'evil.test'] }), want: 'malformed' },
  { name: 'an empty list of names', wire: hello({ serverNames: [] }), want: 'malformed' },
  { name: 'an empty extension', wire: hello({ serverNameBytes: Buffer.alloc(0) }), want: 'malformed' },
  {
    name: 'a name of an unknown type',
    wire: hello({ serverNameBytes: vector16(bytes(1, vector16(Buffer.from('a.test')))) }),
    want: 'malformed',
  },
  {
    name: 'bytes after the list of names',
    wire: hello({ serverNameBytes: bytes(serverNameList(['a.test']), 0) }),
    want: 'malformed',
  },
  {
    name: 'an extension that stands twice',
    wire: hello({ ...NAMED, more: [[0, serverNameList(['evil.test'])]] }),
    want: 'malformed',
  },
  { name: 'an empty ALPN list', wire: hello({ ...NAMED, alpn: [] }), want: 'malformed' },
  { name: 'an empty ALPN name', wire: hello({ ...NAMED, alpn: [''] }), want: 'malformed' },
  { name: 'an empty list of versions', wire: hello({ ...NAMED, versions: [] }), want: 'malformed' },
  { name: 'only TLS 1.0', wire: hello({ ...NAMED, legacyVersion: 0x0301 }), want: 'old-version' },
  {
    name: 'only TLS 1.1 in the extension',
    wire: hello({ ...NAMED, versions: [0x0302] }),
    want: 'old-version',
  },
  { name: 'bytes after the extensions', wire: records(handshakeMessage(bytes(body, 0))), want: 'malformed' },
  { name: 'a body cut short', wire: records(handshakeMessage(body.subarray(0, 50))), want: 'malformed' },
  { name: 'a second message in the same record', wire: records(bytes(message, 0)), want: 'malformed' },
  { name: 'another message first', wire: records(handshakeMessage(body, 2)), want: 'malformed' },
  { name: 'an empty record', wire: Buffer.of(22, 3, 1, 0, 0), want: 'malformed' },
  { name: 'a record over 16 KiB', wire: bytes(Buffer.of(22, 3, 1), u16(16_385)), want: 'malformed' },
  { name: 'an alert between two parts', wire: bytes(records(message.subarray(0, 9)), 21), want: 'malformed' },
  { name: 'an SSL 2.0 hello', wire: Buffer.of(0x80, 0x2e, 1, 3, 1), want: 'sslv2' },
  { name: 'something else', wire: Buffer.from('GET / HTTP/1.1'), want: 'not-tls' },
  { name: 'another major version', wire: Buffer.of(22, 2, 0), want: 'not-tls' },
  {
    name: 'a length beyond the limit, at once',
    wire: records(Buffer.of(1, 0xff, 0xff, 0xff)),
    want: 'too-large',
  },
];

for (const { name, wire, want } of refused) {
  test(`readClientHello refuses ${name}`, () => {
    expect(readClientHello(wire)).toEqual({ ok: false, error: want });
  });
}

test('readClientHello waits for every prefix of a hello', () => {
  const wire = hello(NAMED);
  for (let end = 0; end < wire.length; end++) {
    expect(readClientHello(wire.subarray(0, end))).toEqual({ ok: true, value: 'incomplete' });
  }
});

test('readClientHello takes a padded hello of 16 KiB and refuses one that never ends', () => {
  const padded = hello({ ...NAMED, more: [[21, Buffer.alloc(16_000)]] });
  expect(readClientHello(padded)).toMatchObject({ ok: true, value: { serverName: 'allowed.test' } });
  const reader = new HelloReader();
  const endless = records(bytes(Buffer.of(1, 0, 0xff, 0xf0), Buffer.alloc(60_000)), 1);
  expect(endless.length).toBeGreaterThan(HELLO_LIMIT);
  expect(reader.push(endless)).toEqual({ ok: false, error: 'too-large' });
});

test('HelloReader reads the same hello however records and segments cut it', () => {
  const want = readClientHello(hello(NAMED));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.integer({ min: 1, max: 40 })), (size, cuts) => {
      const wire = records(message, size);
      const reader = new HelloReader();
      let at = 0;
      for (const cut of [...cuts, wire.length]) {
        const got = reader.push(wire.subarray(at, at + cut));
        at = Math.min(at + cut, wire.length);
        if (at === wire.length) {
          expect(got).toEqual(want);
          return;
        }
        expect(got).toEqual({ ok: true, value: 'incomplete' });
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('readClientHello never throws, on noise and on damaged hellos', () => {
  const wire = hello({ ...NAMED, alpn: ['h2'], versions: [0x0304] });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), noise => {
      readClientHello(noise);
      readClientHello(bytes(Buffer.of(22, 3, 1), vector16(handshakeMessage(noise))));
    }),
    { seed: 1, numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.nat(wire.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const damaged = Buffer.from(wire);
      damaged[at] = value;
      readClientHello(damaged);
    }),
    { seed: 1, numRuns: 1000 },
  );
});

test('readClientHello reads back what was written', () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
  const parts = fc.record({
    name: fc.array(label, { minLength: 1, maxLength: 4 }).map(labels => `${labels.join('.')}.test`),
    alpn: fc.array(fc.stringMatching(/^[a-z0-9/.]{1,12}$/), { minLength: 1, maxLength: 5 }),
    versions: fc.array(fc.integer({ min: 0, max: 65_535 }), { maxLength: 5 }).map(more => [0x0304, ...more]),
  });
  fc.assert(
    fc.property(parts, ({ name, alpn, versions }) => {
      const value = { serverName: name, alpn, versions, encryptedHello: false };
      expect(readClientHello(hello({ serverNames: [name], alpn, versions }))).toEqual({ ok: true, value });
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('readClientHello reads a hello that came whole as one that came byte by byte', () => {
  const wire = hello({ ...NAMED, alpn: ['h2'], versions: [0x0304] });
  const damage = fc.array(fc.tuple(fc.nat(wire.length - 1), fc.integer({ min: 0, max: 255 })), {
    maxLength: 2,
  });
  fc.assert(
    fc.property(damage, fc.uint8Array({ maxLength: 3 }), (changes, behind) => {
      const bytes = Buffer.concat([wire, behind]);
      for (const [at, value] of changes) bytes[at % 16] = value;
      const reader = new HelloReader();
      let outcome = reader.push(bytes.subarray(0, 1));
      for (let at = 1; at < bytes.length && outcome.ok && outcome.value === 'incomplete'; at++)
        outcome = reader.push(bytes.subarray(at, at + 1));
      expect(readClientHello(bytes)).toEqual(outcome);
    }),
    { seed: 1, numRuns: 2_000 },
  );
});
