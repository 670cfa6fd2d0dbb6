/**
 * The static table of HPACK (RFC 7541 appendix A). Pure.
 */
import type { HeaderField } from '../../core/headers.js';

const FIELDS = `:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|
:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|
accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|
content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|
cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|
last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|
server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate`;

/** Index 1 is the first: the table is addressed as the RFC does, with a hole at 0. */
export const STATIC_TABLE: readonly HeaderField[] = [
  ['', ''],
  ...FIELDS.split(/\||\n/).filter(Boolean).map(field),
];

export const STATIC_LENGTH = STATIC_TABLE.length - 1;

/** The first index with this name. */
export const STATIC_NAMES: ReadonlyMap<string, number> = indexBy(([name]) => name);

/** The index with this name and value, keyed by `name: value`. */
export const STATIC_PAIRS: ReadonlyMap<string, number> = indexBy(([name, value]) => `${name}: ${value}`);

function field(text: string): HeaderField {
  const space = text.indexOf(' ');
  return space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space + 1)];
}

function indexBy(key: (entry: HeaderField) => string): ReadonlyMap<string, number> {
  const indexes = new Map<string, number>();
  for (const [index, entry] of STATIC_TABLE.entries()) {
    if (index > 0 && !indexes.has(key(entry))) indexes.set(key(entry), index);
  }
  return indexes;
}
