/**
 * The trailer section of a request over HTTP/2 (RFC 9113 §8.1), by the rules of HTTP/1's. Pure.
 */
import type { HeaderList } from '../../core/headers.js';
import { err, type Result } from '../../core/result.js';
import { isFieldValue, isToken } from '../http1/syntax.js';
import { readTrailers, type TrailerFault } from '../http1/trailers.js';

const UPPER_CASE = /[A-Z]/;

/** Reads a field list that came after the content. */
export function parseTrailers(fields: HeaderList, maxFields: number): Result<HeaderList, TrailerFault> {
  let text = '';
  for (const [name, value] of fields) {
    if (!isToken(name) || UPPER_CASE.test(name)) return err('bad-field-name'); // pseudo-fields too
    if (!isFieldValue(value)) return err('bad-field-value');
    text += `${name}: ${value}\r\n`;
  }
  return readTrailers(`${text}\r\n`, maxFields);
}
