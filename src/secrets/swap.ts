/**
 * Placeholder → value in one piece of text, in one literal pass: what a value holds is never read again, so `$&` and
 * a placeholder inside a value mean nothing.
 *
 * Pure. Text here is wire text, one character a byte.
 */
import { isPlaceholder, PLACEHOLDER_LENGTH, PLACEHOLDER_PREFIX } from './placeholder.js';

export function mayHoldPlaceholder(text: string): boolean {
  return text.includes(PLACEHOLDER_PREFIX);
}

/** Everything in `text` that has the shape of a placeholder, in order, with repetitions. */
export function placeholdersIn(text: string): readonly string[] {
  const found: string[] = [];
  swapPlaceholders(text, placeholder => {
    found.push(placeholder);
    return null;
  });
  return found;
}

/** `valueFor` gives what to write for a placeholder; null leaves it as it is. */
export function swapPlaceholders(text: string, valueFor: (placeholder: string) => string | null): string {
  let swapped = '';
  let from = 0;
  for (let at = text.indexOf(PLACEHOLDER_PREFIX); at >= 0; at = text.indexOf(PLACEHOLDER_PREFIX, at)) {
    const end = at + PLACEHOLDER_LENGTH;
    const placeholder = text.slice(at, end);
    if (!isPlaceholder(placeholder)) {
      at += 1;
      continue;
    }
    const value = valueFor(placeholder);
    if (value !== null) {
      swapped += text.slice(from, at) + value;
      from = end;
    }
    at = end;
  }
  return from === 0 ? text : swapped + text.slice(from);
}

const BASIC = /^(basic +)([A-Za-z0-9+/]+)={0,2}$/i;

/** The decoded `user:password` of a Basic field value (RFC 7617 §2), or null: not Basic, or not base64. */
export function basicCredentials(value: string): { readonly scheme: string; readonly text: string } | null {
  const match = BASIC.exec(value);
  if (match === null) return null;
  const [, scheme = '', digits = ''] = match;
  // One digit left over encodes nothing: readers differ on what it means.
  if (digits.length % 4 === 1) return null;
  return { scheme, text: Buffer.from(digits, 'base64').toString('latin1') };
}

/** Swaps inside Basic credentials and encodes them again; the value itself where there is nothing to swap. */
export function swapBasic(value: string, valueFor: (placeholder: string) => string | null): string {
  const credentials = basicCredentials(value);
  if (credentials === null) return value;
  const swapped = swapPlaceholders(credentials.text, valueFor);
  if (swapped === credentials.text) return value;
  return credentials.scheme + Buffer.from(swapped, 'latin1').toString('base64');
}
