/**
 * Does the value of a secret stand in what the sandbox was given, in a form that it could read back? Pure, and
 * deliberately not the gateway's own scanner: it undoes codings instead of looking for coded forms.
 */
import { gunzipSync, inflateSync } from 'node:zlib';
import type { Answers } from '../answers.js';

/** The first view of `answers` in which `value` stands, or null. */
export function findValue(answers: Answers, value: string): string | null {
  const bodies = answers.answers.map(({ body, headers }) => decoded(body, headers));
  const texts = [answers.bytes, ...bodies].map(bytes => bytes.toString('latin1'));
  for (const [name, view] of VIEWS) {
    if (texts.some(text => view(text).includes(view === lettersOnly ? lettersOnly(value) : value)))
      return name;
  }
  return null;
}

/** A secret that is looked for backwards is found there only by its own reversal. */
const VIEWS: readonly (readonly [string, (text: string) => string])[] = [
  ['as it is', text => text],
  ['percent', percentDecoded],
  ['percent twice', text => percentDecoded(percentDecoded(text))],
  [
    'JSON escapes',
    text => text.replace(/\\u([0-9a-f]{4})/gi, (_, hex) => fromHex(hex)).replace(/\\(["\\/])/g, '$1'),
  ],
  ['HTML entities', htmlDecoded],
  ['base64', text => runs(text, /[A-Za-z0-9+/_-]{16,}/g, 'base64')],
  ['hexadecimal', text => runs(text, /[0-9a-fA-F]{32,}/g, 'hex')],
  ['without line breaks', text => text.replace(/[\r\n]/g, '')],
  ['reversed', text => [...text].reverse().join('')],
  ['letters and digits', lettersOnly],
];

function lettersOnly(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, '');
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => fromHex(hex));
}

function htmlDecoded(text: string): string {
  return text
    .replace(/&#x([0-9a-f]+);/gi, (_, hex) => fromHex(hex))
    .replace(/&#(\d+);/g, (_, digits) => String.fromCharCode(Number(digits)));
}

function fromHex(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/** Every run of an alphabet, decoded at each of the four offsets. */
function runs(text: string, alphabet: RegExp, coding: 'base64' | 'hex'): string {
  const found = text.match(alphabet) ?? [];
  return found
    .flatMap(run => [0, 1, 2, 3].map(offset => Buffer.from(run.slice(offset), coding).toString('latin1')))
    .join('\n');
}

function decoded(body: Buffer, headers: readonly (readonly [string, string])[]): Buffer {
  const coding = headers.find(([name]) => name.toLowerCase() === 'content-encoding')?.[1];
  try {
    if (coding === 'gzip') return gunzipSync(body);
    if (coding === 'deflate') return inflateSync(body);
  } catch {
    // A content that cannot be decoded is looked at as it is.
  }
  return body;
}
