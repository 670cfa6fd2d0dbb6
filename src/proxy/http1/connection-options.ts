/**
 * The Connection field (RFC 9110 §7.6.1): what it says about this connection, and which fields it takes along.
 *
 * Pure. It may name only fields that are hop-by-hop or nobody's: a client that nominates Authorization would have it
 * lost here and kept by the next reader.
 */
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { FieldSection } from './fields.js';
import { tokenList } from './syntax.js';

export type ConnectionFault = 'bad-connection' | 'nominated-end-to-end';

export interface ConnectionOptions {
  readonly close: boolean;
  readonly upgrade: boolean;
  /** The end-to-end fields without those that were nominated. */
  readonly endToEnd: HeaderList;
}

export function readConnection(section: FieldSection): Result<ConnectionOptions, ConnectionFault> {
  const { endToEnd } = section;
  const value = section.control.connection;
  if (value === null || value === 'keep-alive') return ok({ close: false, upgrade: false, endToEnd });
  const nominated = tokenList(value);
  if (nominated === null) return err('bad-connection');
  if (nominated.some(name => NEVER_NOMINATED.has(name))) return err('nominated-end-to-end');
  const names = new Set(nominated);
  const isNominated = ([name]: HeaderField): boolean => names.has(name.toLowerCase());
  return ok({
    close: names.has('close'),
    upgrade: names.has('upgrade'),
    // The same list where it can be: it may be known already, and is not kept twice.
    endToEnd: endToEnd.some(isNominated) ? endToEnd.filter(field => !isNominated(field)) : endToEnd,
  });
}

const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'content-location',
  'content-language',
  'content-disposition',
  'authorization',
  'cookie',
  'set-cookie',
  'www-authenticate',
  'cache-control',
  'expect',
  'range',
  'accept',
  'accept-encoding',
  'accept-language',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'vary',
  'via',
  'max-forwards',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-api-key',
  'origin',
  'referer',
  'user-agent',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
]);
