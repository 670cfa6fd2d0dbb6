/**
 * Path globs, and which request paths have one reading (RFC 3986 §3.3, §6.2.2).
 *
 * Pure. `*` stands for any characters of one segment, `**` for any characters at all. A path that two servers
 * could read as two resources is ambiguous, and a rule with paths refuses it.
 */
import { err, ok, type Result } from '../core/result.js';
import { quoted } from './problem.js';

export interface PathGlob {
  readonly text: string;
  /** Literal pieces between the stars; `stars[i]` stands between `pieces[i]` and `pieces[i + 1]`. */
  readonly pieces: readonly string[];
  readonly stars: readonly ('segment' | 'any')[];
}

/** A glob has at most this many stars, so that one match stays within path length × stars. */
const MAX_STARS = 8;

export function parsePathGlob(text: string): Result<PathGlob, string> {
  if (!text.startsWith('/')) return err(`${quoted(text)} is not a path glob: it begins with '/'`);
  if (/[?#]/.test(text)) return err(`${quoted(text)} is not a path glob: a query or fragment is not matched`);
  if (!isCanonicalPath(text)) {
    return err(`${quoted(text)} is not a path glob: no request with such a path is ever decided`);
  }
  if (text.includes('***')) return err(`${quoted(text)} is not a path glob: '*' and '**' are the only stars`);
  const stars = Array.from(text.matchAll(/\*\*?/g), ([star]): 'any' | 'segment' =>
    star === '**' ? 'any' : 'segment',
  );
  if (stars.length > MAX_STARS) return err(`${quoted(text)} holds more than ${MAX_STARS} stars`);
  return ok({ text, pieces: text.split(/\*\*?/).map(canonicalCase), stars });
}

/** The path of an origin-form, ready to be matched, or null where it has more than one reading. */
export function canonicalPath(target: string): string | null {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  return isCanonicalPath(path) ? canonicalCase(path) : null;
}

/** Whether the whole of `path`, as `canonicalPath` gave it, is what `glob` describes. */
export function matchesPath(glob: PathGlob, path: string): boolean {
  const [first = '', ...rest] = glob.pieces;
  if (!path.startsWith(first)) return false;
  // Positions at which the pieces so far may end: each star widens them, each piece narrows them.
  let ends: ReadonlySet<number> = new Set([first.length]);
  for (const [i, piece] of rest.entries()) {
    ends = endsAfter(path, ends, glob.stars[i] ?? 'segment', piece, i === rest.length - 1);
    if (ends.size === 0) return false;
  }
  return ends.has(path.length);
}

function endsAfter(
  path: string,
  from: ReadonlySet<number>,
  star: 'segment' | 'any',
  piece: string,
  last: boolean,
): Set<number> {
  const ends = new Set<number>();
  let reach = -1; // the furthest position that the star has already been tried at
  for (const start of [...from].sort((a, b) => a - b)) {
    const slash = star === 'any' ? -1 : path.indexOf('/', start);
    const limit = slash < 0 ? path.length : slash;
    if (
      last &&
      path.length - piece.length >= start &&
      path.length - piece.length <= limit &&
      path.endsWith(piece)
    ) {
      ends.add(path.length);
    }
    for (let at = Math.max(start, reach + 1); !last && at <= limit; at++) {
      if (path.startsWith(piece, at)) ends.add(at + piece.length);
    }
    reach = Math.max(reach, limit);
  }
  return ends;
}

/** Segments of plain characters (RFC 3986 `pchar` without `;`) and of escapes that nothing decodes into syntax. */
const PLAIN = /^(?:\/(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*)+$/;
const DOT_SEGMENT = /\/\.\.?(?:\/|$)/;
const ESCAPE = /%([0-9A-Fa-f]{2})/g;
/** Visible ASCII that a path must escape. Any other escaped ASCII has a second spelling or a second meaning. */
const MUST_ESCAPE = new Set(' "<>[]^`{|}');

function isCanonicalPath(path: string): boolean {
  if (!PLAIN.test(path) || path.includes('//') || DOT_SEGMENT.test(path)) return false;
  for (const [, hex = ''] of path.matchAll(ESCAPE)) {
    const byte = Number.parseInt(hex, 16);
    if (byte < 0x80 && !MUST_ESCAPE.has(String.fromCharCode(byte))) return false;
  }
  return true;
}

/** Escapes are the same in either case (RFC 3986 §6.2.2.1). */
function canonicalCase(path: string): string {
  return path.includes('%') ? path.replace(ESCAPE, triplet => triplet.toUpperCase()) : path;
}
