/**
 * The request target (RFC 9112 §3.2): origin-form, absolute-form, authority-form, or `*`.
 *
 * Pure. What two readers could take for different things is refused: a fragment, a path that begins with `//` (an
 * authority to whoever resolves it as a reference, RFC 3986 §4.2), a backslash, half an escape, or an escaped NUL, CR or LF in the path.
 */
import { type Authority, parseAuthority, type Scheme } from '../../core/authority.js';
import { err, ok, type Result } from '../../core/result.js';
import { targetEnd } from './syntax.js';

export type TargetFault = 'bad-target' | 'wrong-scheme' | 'not-a-proxy';

export interface Target {
  /** Origin-form, or `*`. */
  readonly path: string;
  /** What absolute-form names; null for the other forms. */
  readonly authority: Authority | null;
}

/** Reads the target of any request but CONNECT. Absolute-form must have this connection's scheme. */
export function parseTarget(text: string, method: string, scheme: Scheme): Result<Target, TargetFault> {
  if (targetEnd(text, 0) !== text.length) return err('bad-target');
  if (text.charCodeAt(0) === 0x2f)
    return isPath(text) ? ok({ path: text, authority: null }) : err('bad-target');
  if (text === '*') return method === 'OPTIONS' ? ok({ path: '*', authority: null }) : err('bad-target');
  return parseAbsolute(text, method, scheme);
}

function parseAbsolute(text: string, method: string, scheme: Scheme): Result<Target, TargetFault> {
  const colon = text.indexOf('://');
  if (colon <= 0) return err('bad-target');
  if (text.slice(0, colon).toLowerCase() !== scheme) return err('wrong-scheme');
  const from = colon + 3;
  let to = from;
  // A query straight behind the host has two readings where it holds an `@`, as it has in `parseUrl`: its `?` is no
  // character of an authority.
  while (to < text.length && text[to] !== '/') to++;
  const authority = parseAuthority(text.slice(from, to), scheme);
  if (!authority.ok) return err('bad-target');
  const path = absolutePath(text.slice(to), method);
  return isPath(path) ? ok({ path, authority: authority.value }) : err('bad-target');
}

/** RFC 9112 §3.2.1 and §3.2.4: an absent path is `/`, and `*` for OPTIONS of the whole server. */
function absolutePath(rest: string, method: string): string {
  if (rest !== '') return rest;
  return method === 'OPTIONS' ? '*' : '/';
}

/** True for what may be written as a request's path: origin-form that has one reading, or `*`. */
export function isPath(text: string): boolean {
  if (text === '*') return true;
  if (text.charCodeAt(0) !== 0x2f || text.charCodeAt(1) === 0x2f) return false;
  if (targetEnd(text, 0) !== text.length) return false;
  const query = text.indexOf('?');
  const end = query < 0 ? text.length : query;
  const backslash = text.indexOf('\\');
  if (backslash >= 0 && backslash < end) return false;
  for (let i = text.indexOf('%'); i >= 0 && i < end; i = text.indexOf('%', i + 1)) {
    if (!isEscape(text, i)) return false;
  }
  return true;
}

/**
 * Two hexadecimal digits after the percent sign, and not NUL, which would end the path for a C library, nor CR or LF,
 * which would end a field for whoever decodes the path into one.
 */
function isEscape(text: string, at: number): boolean {
  const high = hexValue(text.charCodeAt(at + 1));
  const low = hexValue(text.charCodeAt(at + 2));
  return high >= 0 && low >= 0 && !(high === 0 && (low === 0 || low === 0x0a || low === 0x0d));
}

/** The value of a hexadecimal digit's code, or -1. */
export function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
