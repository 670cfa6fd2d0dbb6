/** Secrets in content: what is found, filled in and taken back does not depend on how the content is cut. */
import assert from 'node:assert';
import { BodyFiller, type ContentKind } from '../../src/secrets/fill.js';
import { Redactor } from '../../src/secrets/redact.js';
import { BodyScanner, type Leak, NO_SCOPE, type Scope } from '../../src/secrets/scan.js';
import { A, B, C, corpusSecrets, placesOf } from '../../test/secrets/fixtures.js';
import { cutAtRandom, type Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { short, textsOf } from '../seeds.js';

const secrets = corpusSecrets({ places: placesOf('body', 'header') });
const ONLY_A: Scope = { allowed: new Set(['A', 'C']), plain: new Set() };

export const placeholders: Target = {
  name: 'placeholders',
  promise: 'any cut of a content gives the same leak, the same filled content, and an answer without a value',
  seeds: () => [...short(textsOf('secrets', 'raw', 'body', 'text')), ...VALID],
  tokens: [A, B, C].flatMap(({ placeholder, value }) => [
    placeholder,
    placeholder.slice(0, 21),
    placeholder.slice(21),
    value,
    value.slice(0, 9),
    value.slice(9),
    ...[0, 1, 2].map(shift => Buffer.from('x'.repeat(shift) + value).toString('base64')),
    Buffer.from(value).toString('hex'),
    encodeURIComponent(value),
    JSON.stringify(value),
    ...['GWPH_', '%47', '%25', '\\u00', '\\', '&#', '&#x', ';', '%', '\r\n', '=', '"'],
  ]),
  check,
};

const VALID = [
  `{"key":"${A.placeholder}","other":"${B.placeholder}"}`,
  `a=${encodeURIComponent(A.value)}&b=${C.placeholder}`,
  `${A.value}${A.placeholder}${B.value}${C.value}`,
].map(text => Buffer.from(text, 'latin1'));

function check(input: Buffer, random: Random): string {
  const cut = cutAtRandom(input, random);
  const scope = random.below(2) === 0 ? ONLY_A : NO_SCOPE;
  const whole = scan([input], scope);
  const pieces = scan(cut, scope);
  assert.deepStrictEqual(pieces.leak, whole.leak, 'the cut decides what leaks');
  if (whole.leak === null) {
    assert.equal(pieces.forwarded, input.toString('latin1'), 'something was lost on the way');
    assert.equal(whole.forwarded, input.toString('latin1'), 'something was lost on the way');
  }
  const kind = random.pick(['json', 'form', 'other'] as const);
  assert.deepStrictEqual(fill(cut, kind), fill([input], kind), 'the cut decides what is filled in');
  const clean = secrets.valuesOf(['A', 'B', 'C']).hits(input, () => true).length === 0;
  for (const redacted of [redact([input]), redact(cut)]) {
    if (clean) assert.equal(redacted.toString('latin1'), input.toString('latin1'), 'an answer was changed');
    for (const { value } of [A, B]) assert.ok(!redacted.includes(value), 'a value came through');
  }
  if (whole.leak !== null) return 'a leak';
  return clean ? 'clean' : 'in scope';
}

function scan(pieces: readonly Buffer[], scope: Scope): { leak: Leak | null; forwarded: string } {
  const scanner = new BodyScanner(secrets.watch, scope, 'body');
  let forwarded = '';
  for (const piece of pieces) {
    const step = scanner.push(Buffer.from(piece));
    if (step.leak !== null) return { leak: step.leak, forwarded };
    forwarded += Buffer.from(step.forward).toString('latin1');
  }
  return { leak: null, forwarded: forwarded + Buffer.from(scanner.end()).toString('latin1') };
}

function fill(pieces: readonly Buffer[], kind: ContentKind): { leak: Leak | null; text: string } {
  const filler = new BodyFiller(secrets, ONLY_A, kind, new Map());
  let text = '';
  for (const piece of pieces) {
    const step = filler.push(Buffer.from(piece));
    if (step.leak !== null) return { leak: step.leak, text: '' };
    text += Buffer.from(step.forward).toString('latin1');
  }
  return { leak: null, text: text + Buffer.from(filler.end()).toString('latin1') };
}

function redact(pieces: readonly Buffer[]): Buffer {
  const redactor = new Redactor(secrets.valuesOf(['A', 'B', 'C']), name => secrets.placeholderOf(name));
  const out = pieces.map(piece => Buffer.from(redactor.push(Buffer.from(piece))));
  return Buffer.concat([...out, Buffer.from(redactor.end())]);
}
