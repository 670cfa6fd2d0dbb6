/** What a file or a program gave, as a value. Pure. */
import { failed, given, gone } from './answer.js';
import type { Fetched } from './source.js';

/** Text in UTF-8. One line break at the end belongs to the tool that wrote it, not to the value. */
export function valueOfOutput(bytes: Uint8Array): Fetched {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value = text.replace(/\r?\n$/, '');
    return value === '' ? gone('its value is empty') : given(value);
  } catch {
    // The decoder's message would say nothing more than this.
    return failed('its value is not UTF-8');
  }
}
