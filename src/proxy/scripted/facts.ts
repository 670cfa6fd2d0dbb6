/** What a script is shown of a request: the head as it was decided, with placeholders where values will be. Pure. */
import { hostText } from '../../core/host.js';
import type { RequestFacts } from '../../policy/hooks.js';
import type { Body, RequestHead } from '../exchange.js';

/** `body` null: only what the head announces of it is known any more. */
export function factsOf(head: RequestHead, body: Body | null = null): RequestFacts {
  const { authority, method, path, headers } = head;
  const mark = path.indexOf('?');
  return {
    method,
    scheme: authority.scheme,
    host: hostText(authority.host),
    port: authority.port,
    path: mark < 0 ? path : path.slice(0, mark),
    query: mark < 0 ? '' : path.slice(mark + 1),
    headers,
    bodyBytes: bytesOf(head, body),
    body: null,
  };
}

function bytesOf({ framing }: RequestHead, body: Body | null): number | null {
  if (body instanceof Uint8Array) return body.length;
  if (framing.kind === 'length') return framing.bytes;
  return framing.kind === 'none' ? 0 : null;
}
