/**
 * What a client speaks, told by its first bytes: TLS (RFC 8446 §5.1), HTTP/1 or HTTP/2 in the clear
 * (RFC 9112 §3, RFC 9113 §3.4), or something that the gateway does not read.
 *
 * Pure. It only chooses a reader; the reader is the judge.
 */

export type Sniffed = 'tls' | 'http' | 'opaque' | 'incomplete';

/** No answer needs more bytes than this. */
export const SNIFF_LIMIT = 64;

const HANDSHAKE = 0x16;

/** The registered methods that clients send; any other token counts where a request target follows it. */
const KNOWN_METHOD = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PRI)$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const TARGET = /^(?:\/|\*|https?:)/i;
/** A target is told by its first bytes: `http:` is the longest. */
const TARGET_BYTES = 6;

/** Judges the first bytes of a connection. `incomplete` is never said of `SNIFF_LIMIT` bytes or more. */
export function sniff(bytes: Buffer): Sniffed {
  const first = bytes[0];
  if (first === undefined) return 'incomplete';
  if (first === HANDSHAKE) {
    if (bytes[1] === undefined) return 'incomplete';
    return bytes[1] === 3 ? 'tls' : 'opaque';
  }
  return sniffHttp(bytes.toString('latin1', 0, SNIFF_LIMIT));
}

/** `text`: one character a byte. */
function sniffHttp(text: string): Sniffed {
  const unsure = text.length < SNIFF_LIMIT ? 'incomplete' : 'opaque';
  // An empty line before the request is the reader's to judge (RFC 9112 §2.2): here it is stepped over.
  let start = 0;
  while (start < 4 && (text[start] === '\r' || text[start] === '\n')) start++;
  const space = text.indexOf(' ', start);
  const method = text.slice(start, space < 0 ? undefined : space);
  if (method !== '' && !TOKEN.test(method)) return 'opaque';
  if (space < 0) return unsure;
  if (KNOWN_METHOD.test(method)) return 'http';
  if (method === '') return 'opaque';

  const target = text.slice(space + 1);
  if (TARGET.test(target)) return 'http';
  return target.length < TARGET_BYTES && 'https:'.startsWith(target.toLowerCase()) ? unsure : 'opaque';
}
