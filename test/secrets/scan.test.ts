import fc from 'fast-check';
import { BodyScanner, type Leak, NO_SCOPE, type Scope } from '../../src/secrets/scan.js';
import { A, B, C, corpusSecrets } from './fixtures.js';

const SEED = { seed: 20_266, numRuns: 300 };
const { watch } = corpusSecrets();
const ONLY_A: Scope = { allowed: new Set(['A', 'C']), plain: new Set() };

interface Scanned {
  readonly leak: Leak | null;
  readonly forwarded: string;
}

function scan(content: Uint8Array, cuts: readonly number[], scope: Scope = NO_SCOPE): Scanned {
  const scanner = new BodyScanner(watch, scope, 'body');
  const forwarded: Uint8Array[] = [];
  const ends = [...new Set(cuts.map(cut => cut % (content.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, content.length]) {
    // A fresh copy that is wiped afterwards: the scanner must keep nothing of the caller's.
    const chunk = Uint8Array.prototype.slice.call(content, from, end);
    const { forward, leak } = scanner.push(chunk);
    if (leak !== null) return { leak, forwarded: Buffer.concat(forwarded).toString('latin1') };
    forwarded.push(Buffer.from(forward));
    chunk.fill(0);
    from = end;
  }
  forwarded.push(scanner.end());
  return { leak: null, forwarded: Buffer.concat(forwarded).toString('latin1') };
}

const pieces = fc.constantFrom(
  A.placeholder,
  A.placeholder.slice(0, 20),
  A.placeholder.slice(20),
  A.value,
  A.value.slice(0, 12),
  B.placeholder,
  B.value,
  Buffer.from(`x${A.value}`).toString('base64'),
  encodeURIComponent(A.value),
  JSON.stringify(B.value),
  'GWPH_',
  'GW',
  '%47WPH%5f',
  'sk-',
  '%',
  '\\u00',
  '\\',
  '\r\n',
  '&#71',
  'é',
);
const contents = fc
  .array(fc.oneof(pieces, fc.string({ maxLength: 6 })), { maxLength: 10 })
  .map(parts => Buffer.from(parts.join(''), 'utf8'));
const cuts = fc.array(fc.nat(400), { maxLength: 12 });

test('a leak, and what passes without one, do not depend on how the content was cut', () => {
  fc.assert(
    fc.property(contents, cuts, fc.boolean(), (content, where, inScope) => {
      const scope = inScope ? ONLY_A : NO_SCOPE;
      const whole = scan(content, [], scope);
      const cut = scan(content, where, scope);
      expect(cut.leak).toEqual(whole.leak);
      if (whole.leak === null) expect(cut.forwarded).toBe(content.toString('latin1'));
    }),
    SEED,
  );
});

test('no more than three characters of a leak pass before it is known', () => {
  for (const leak of [
    A.placeholder,
    A.value,
    Buffer.from(A.value).toString('base64'),
    encodeURIComponent(A.value),
  ]) {
    const content = Buffer.from(`..${leak}..`);
    const everywhere = [...content.keys()];
    const { leak: found, forwarded } = scan(content, everywhere);
    expect(found).toMatchObject({ secret: 'A', place: 'body' });
    expect(forwarded.length).toBeLessThanOrEqual(5);
  }
});

test('a line break in a coded placeholder is read alike, however far behind it the content is cut', () => {
  const digits = Buffer.from(A.placeholder).toString('hex');
  // Sixteen digits before the break make it one of a coded text: fifteen of them stand before the placeholder.
  const content = Buffer.from(`${'a'.repeat(15)}${digits.slice(0, 1)}\n${digits.slice(1)}`);
  for (let at = 1; at < content.length; at++)
    expect([at, scan(content, [at]).leak?.encoding]).toEqual([at, 'hex']);
});

test('a line break of two bytes in a coded placeholder is read alike where the cut parts them', () => {
  const digits = Buffer.from(A.placeholder).toString('hex');
  const content = Buffer.from(`${'a'.repeat(45)}${digits.slice(0, 70)}\r\n${digits.slice(70)}!`);
  for (let at = 1; at < content.length; at++)
    expect([at, scan(content, [at]).leak?.encoding]).toEqual([at, 'hex']);
});

test('a dialogue is not held up by a few characters that might begin something', () => {
  const scanner = new BodyScanner(watch, NO_SCOPE, 'body');
  for (const message of ['{"q":"ask"}sk-', 'data: GWP\n\n', '@%', '@\\', '&']) {
    expect(Buffer.from(scanner.push(Buffer.from(message)).forward).toString()).toBe(message);
  }
});

test('a placeholder of its own host passes in a content', () => {
  expect(scan(Buffer.from(`{"k":"${A.placeholder}"}`), [9], ONLY_A).leak).toBeNull();
  expect(scan(Buffer.from(`{"k":"${B.placeholder}"}`), [9], ONLY_A).leak).toMatchObject({ secret: 'B' });
});

test('a value that holds another placeholder is found as what it is', () => {
  expect(scan(Buffer.from(C.value), [])).toMatchObject({
    leak: { reason: expect.stringMatching(/value|out-of-scope/) },
  });
});

test('line breaks between the pieces cost a bounded memory', () => {
  const scanner = new BodyScanner(watch, NO_SCOPE, 'body');
  let forwarded = 0;
  for (let i = 0; i < 200; i++)
    forwarded += scanner.push(Buffer.from(`GWPH${'\n'.repeat(1000)}`)).forward.length;
  expect(forwarded).toBeGreaterThan(200 * 1004 - 2000);
});
