/**
 * What a request that is none seems to have wanted, for the event. Pure, best effort, and never used to decide.
 */
import type { ClaimedRequest } from './server-options.js';

const LONGEST = 256;
const HOST_LINE = /^host:[ \t]*([^\r\n]{0,256})/im;

/** `text` is the Latin-1 of what came, a whole head or not. Null when it has no word. */
export function readClaim(text: string): ClaimedRequest | null {
  const lineEnd = text.search(/[\r\n]/);
  const line = lineEnd < 0 ? text : text.slice(0, lineEnd);
  const [method = '', target = ''] = line.slice(0, 4 * LONGEST).split(' ', 2);
  if (method === '') return null;
  const host = HOST_LINE.exec(text)?.[1] ?? '';
  return { method: method.slice(0, LONGEST), target: target.slice(0, LONGEST), host };
}
