import fc from 'fast-check';
import { SNIFF_LIMIT, type Sniffed, sniff } from '../../../src/proxy/tls/sniff.js';

interface Case {
  readonly name: string;
  readonly text: string;
  readonly want: Sniffed;
}

const cases: Case[] = [
  { name: 'waits for the first byte', text: '', want: 'incomplete' },
  { name: 'waits for the version after a handshake byte', text: '\x16', want: 'incomplete' },
  { name: 'knows a TLS record', text: '\x16\x03\x01', want: 'tls' },
  { name: 'does not take another version for TLS', text: '\x16\x02', want: 'opaque' },
  { name: 'does not take an SSL 2.0 hello for TLS', text: '\x80\x2e\x01\x03\x01', want: 'opaque' },
  { name: 'waits within a method', text: 'GE', want: 'incomplete' },
  { name: 'knows a known method by its blank', text: 'GET ', want: 'http' },
  { name: 'leaves a doubled blank to the reader', text: 'GET  /p', want: 'http' },
  { name: 'knows the preface of HTTP/2', text: 'PRI * HTTP/2.0\r\n', want: 'http' },
  { name: 'knows an extension method by its target', text: 'PURGE /x HTTP/1.1', want: 'http' },
  { name: 'waits for the target of an extension method', text: 'PURGE ', want: 'incomplete' },
  { name: 'waits for the rest of an absolute target', text: 'PURGE htt', want: 'incomplete' },
  { name: 'knows an absolute target', text: 'PURGE http://a/', want: 'http' },
  { name: 'steps over an empty line', text: '\r\nGET /', want: 'http' },
  { name: 'does not take SSH for HTTP', text: 'SSH-2.0-OpenSSH_9.6\r\n', want: 'opaque' },
  { name: 'does not take SMTP for HTTP', text: 'EHLO me.test\r\n', want: 'opaque' },
  { name: 'does not take RESP for HTTP', text: '*1\r\n$4\r\nPING\r\n', want: 'opaque' },
  { name: 'does not take PostgreSQL for HTTP', text: '\0\0\0\x08\x04\xd2\x16\x2f', want: 'opaque' },
  { name: 'gives up on a method without an end', text: 'A'.repeat(SNIFF_LIMIT), want: 'opaque' },
];

for (const { name, text, want } of cases) {
  test(`sniff ${name}`, () => {
    expect(sniff(Buffer.from(text, 'latin1'))).toBe(want);
  });
}

test('sniff keeps its answer once it has given one', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), bytes => {
      let decided: Sniffed | null = null;
      for (let end = 0; end <= bytes.length; end++) {
        const seen = sniff(Buffer.from(bytes.subarray(0, end)));
        if (decided !== null) expect(seen).toBe(decided);
        else if (seen !== 'incomplete') decided = seen;
      }
      if (bytes.length >= SNIFF_LIMIT) expect(decided).not.toBeNull();
    }),
    { seed: 1, numRuns: 500 },
  );
});
