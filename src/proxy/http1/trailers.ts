/**
 * The trailer section of a chunked message (RFC 9112 §7.1.2, RFC 9110 §6.5). Pure.
 */
import type { HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { type FieldFault, readFields } from './fields.js';

export type TrailerFault = FieldFault | 'forbidden-trailer';

/** Reads a trailer section: `text` ends with its empty line. Fields of a connection and of framing are faults. */
export function readTrailers(text: string, maxFields: number): Result<HeaderList, TrailerFault> {
  const section = readFields(text, 0, maxFields);
  if (!section.ok) return section;
  const { endToEnd, control } = section.value;
  for (const value of Object.values(control)) if (value !== null) return err('forbidden-trailer');
  const forbidden = endToEnd.some(([name]) => NEVER_A_TRAILER.has(name.toLowerCase()));
  return forbidden ? err('forbidden-trailer') : ok(endToEnd);
}

/**
 * Fields that must not come after the content (RFC 9110 §6.5.1): framing, routing, authentication, request modifiers
 * and what says how to read the content. A recipient that merged one would act on a field that nobody decided on.
 */
const NEVER_A_TRAILER: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'set-cookie',
  'www-authenticate',
  'authentication-info',
  'content-type',
  'content-encoding',
  'content-range',
  'content-location',
  'cache-control',
  'max-forwards',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'age',
  'date',
  'expires',
  'location',
  'retry-after',
  'vary',
  'warning',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-api-key',
  'sec-websocket-key',
  'sec-websocket-accept',
]);
