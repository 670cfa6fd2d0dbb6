/**
 * The bytes that HTTP/1.1 lets stand where (RFC 9110 §5.5, §5.6.2; RFC 9112 §3.2), as tables.
 *
 * Pure. Text is Latin-1: one character is one byte. A character above U+00FF is in no table, so that nothing which
 * would change its meaning when written as bytes (U+010A would become a line feed) can be written.
 */

const TOKEN = 1;
const VALUE = 2;
const TARGET = 4;

const CLASS = new Uint8Array(256);
for (let code = 0x21; code <= 0x7e; code++) CLASS[code] = VALUE | TARGET;
for (let code = 0x80; code <= 0xff; code++) CLASS[code] = VALUE;
CLASS[0x09] = VALUE;
CLASS[0x20] = VALUE;
CLASS[0x23] = VALUE; // '#': a fragment is never sent
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  const code = character.charCodeAt(0);
  CLASS[code] = (CLASS[code] ?? 0) | TOKEN;
}

/** The index of the first character of `text`, from `at`, that may not stand in a token. */
export function tokenEnd(text: string, at: number): number {
  return classEnd(text, at, TOKEN);
}

/** The index of the first character, from `at`, that may not stand in a field value (a CR, LF, NUL, other control). */
export function valueEnd(text: string, at: number): number {
  return classEnd(text, at, VALUE);
}

/** The index of the first character, from `at`, that may not stand in a request target: the visible ASCII but `#`. */
export function targetEnd(text: string, at: number): number {
  return classEnd(text, at, TARGET);
}

function classEnd(text: string, at: number, mask: number): number {
  const { length } = text;
  let i = at;
  // Within the text: what lies behind it (NaN) is no index, and asking for it would slow down every other look-up.
  while (i < length && ((CLASS[text.charCodeAt(i)] ?? 0) & mask) !== 0) i++;
  return i;
}

export function isToken(text: string): boolean {
  return text.length > 0 && tokenEnd(text, 0) === text.length;
}

/** True for what stands between the optional blanks of a field line: no blank at either end. */
export function isFieldValue(text: string): boolean {
  return (
    valueEnd(text, 0) === text.length &&
    !isBlank(text.charCodeAt(0)) &&
    !isBlank(text.charCodeAt(text.length - 1))
  );
}

/** Space or tab: the optional white space of RFC 9110 §5.6.3. */
export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** `text` without blanks at its ends. `String.trim` would take off more. */
export function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

/**
 * The members of a comma-separated list of tokens (RFC 9110 §5.6.1), lower case; empty members are skipped. Null
 * when one is not a token.
 */
export function tokenList(text: string): string[] | null {
  const tokens: string[] = [];
  for (const part of text.split(',')) {
    const token = trimBlanks(part);
    if (token === '') continue;
    if (!isToken(token)) return null;
    tokens.push(token.toLowerCase());
  }
  return tokens;
}
