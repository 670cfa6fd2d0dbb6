/**
 * A request as AWS Signature Version 4 reads it: one text that two sides make alike ("Create a canonical request" in
 * AWS's documentation of Signature Version 4).
 *
 * Pure. Text here is wire text, one character a byte. What two readers could take differently is a fault.
 */
import { createHash } from 'node:crypto';
import type { HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';

export interface CanonicalInput {
  readonly method: string;
  /** The request target in origin form: path and query, as on the wire. */
  readonly target: string;
  /** Every field that may be signed, `host` among them. */
  readonly headers: HeaderList;
  /** Lower-case names, sorted. */
  readonly signed: readonly string[];
  /** Hexadecimal SHA-256 of the content, or a word such as `UNSIGNED-PAYLOAD`. */
  readonly contentHash: string;
  /** S3 signs the path as it is; every other service signs it without dot segments and encoded once more. */
  readonly service: string;
}

export type CanonicalFault = 'bad-path' | 'bad-query' | 'plus-in-query';

export function canonicalRequest(input: CanonicalInput): Result<string, CanonicalFault> {
  const mark = input.target.indexOf('?');
  const path = canonicalPath(mark < 0 ? input.target : input.target.slice(0, mark), input.service);
  if (path === null) return err('bad-path');
  const query = canonicalQuery(mark < 0 ? '' : input.target.slice(mark + 1));
  if (!query.ok) return query;
  const fields = input.signed.map(name => `${name}:${joinedValue(input.headers, name)}\n`).join('');
  return ok([input.method, path, query.value, fields, input.signed.join(';'), input.contentHash].join('\n'));
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Repeated fields are one, in their order; blanks at the ends go, runs of them become one. */
function joinedValue(headers: HeaderList, name: string): string {
  return headers
    .filter(([other]) => other.toLowerCase() === name)
    .map(([, value]) => value.trim().replace(/ +/g, ' '))
    .join(',');
}

function canonicalPath(path: string, service: string): string | null {
  if (!path.startsWith('/')) return null;
  if (service !== 's3') return encode(withoutDots(path)).replaceAll('%2F', '/');
  const segments = path.split('/').map(decode);
  return segments.some(segment => segment === null)
    ? null
    : segments.map(segment => encode(segment ?? '')).join('/');
}

/** RFC 3986 §5.2.4, and runs of slashes become one. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').filter(segment => segment !== '');
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  const last = segments.at(-1);
  const isFolder = path.endsWith('/') || last === '.' || last === '..';
  return `/${kept.join('/')}${isFolder && kept.length > 0 ? '/' : ''}`;
}

function canonicalQuery(query: string): Result<string, CanonicalFault> {
  // Some servers read it as a blank, others as itself: the signature would hold for one of them only.
  if (query.includes('+')) return err('plus-in-query');
  const pairs: (readonly [string, string])[] = [];
  for (const field of query.split('&')) {
    if (field === '') continue;
    const equals = field.indexOf('=');
    const name = decode(equals < 0 ? field : field.slice(0, equals));
    const value = decode(equals < 0 ? '' : field.slice(equals + 1));
    if (name === null || value === null) return err('bad-query');
    pairs.push([encode(name), encode(value)]);
  }
  pairs.sort(([a, x], [b, y]) => order(a, b) || order(x, y));
  return ok(pairs.map(([name, value]) => `${name}=${value}`).join('&'));
}

/** By code units: everything here is ASCII. */
function order(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Null: a percent sign that spells nothing. */
function decode(text: string): string | null {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return null;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

/** Every byte but the unreserved ones of RFC 3986 §2.3. */
function encode(text: string): string {
  return text.replace(
    /[^A-Za-z0-9\-._~]/g,
    byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
