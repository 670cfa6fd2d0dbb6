/**
 * What a script asked for, as it may be sent: the same grammar that a sandbox's bytes pass (RFC 9110 §5.5, RFC 9112 §3.2).
 *
 * Pure. The errors are sentences that follow the hook's name.
 */
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import type { HeaderPatch, RequestRewrite, Respond } from '../../policy/hooks.js';
import { type Answer, NO_BODY, type RequestHead } from '../exchange.js';
import { passage } from '../http1/fields.js';
import { isFieldValue, isToken } from '../http1/syntax.js';
import { isPath } from '../http1/target.js';

const MAX_VALUE = 8_192;
const MAX_FIELDS = 256;

/** Whose meaning is fixed before a script is asked: they belong to a handshake that was checked. */
const HANDSHAKE = /^sec-websocket-/i;

export function rewrittenHead<Head extends Pick<RequestHead, 'headers' | 'path'>>(
  head: Head,
  rewrite: RequestRewrite,
): Result<Head, string> {
  const headers = patched(head.headers, rewrite.headers);
  if (!headers.ok) return headers;
  const path = rewrittenPath(head.path, rewrite);
  return path.ok ? ok({ ...head, headers: headers.value, path: path.value }) : path;
}

function rewrittenPath(target: string, { path, query }: RequestRewrite): Result<string, string> {
  if (path === null && query === null) return ok(target);
  const mark = target.indexOf('?');
  const newPath = path ?? (mark < 0 ? target : target.slice(0, mark));
  const newQuery = query ?? (mark < 0 ? '' : target.slice(mark + 1));
  if (newPath.includes('?'))
    return err("rewrote the path to one that holds a '?': the query is a field of its own");
  const whole = newQuery === '' ? newPath : `${newPath}?${newQuery}`;
  if (!whole.startsWith('/') || !isPath(whole)) return err('rewrote the path or query to what cannot be one');
  return ok(whole);
}

/** `headers` with each field of `patch` in place of all of its name; what is new stands at the end. */
export function patched(headers: HeaderList, patch: HeaderPatch): Result<HeaderList, string> {
  if (patch.size === 0) return ok(headers);
  const names = new Set<string>();
  const added: HeaderField[] = [];
  for (const [name, values] of patch) {
    const fault = nameFault(name);
    if (fault !== null) return err(fault);
    names.add(name.toLowerCase());
    for (const value of values) {
      if (!isFieldValue(value) || value.length > MAX_VALUE) return err(`gave ${name} a value that is none`);
      added.push([name, value]);
    }
  }
  const all = [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...added];
  return all.length > MAX_FIELDS ? err(`leaves more than ${MAX_FIELDS} fields`) : ok(all);
}

function nameFault(name: string): string | null {
  if (!isToken(name)) return 'named a header that cannot be one';
  if (passage(name) !== 'write' || name.toLowerCase() === 'trailer' || HANDSHAKE.test(name)) {
    return `may not set ${name}: it belongs to the gateway`;
  }
  return null;
}

/** Content-Length is ours to count, whatever the script says. */
export function synthetic(respond: Respond, method: string): Result<Answer, string> {
  const own = [...respond.headers].filter(([name]) => name.toLowerCase() !== 'content-length');
  const headers = patched([], new Map(own));
  if (!headers.ok) return headers;
  const body = Buffer.from(respond.body, 'utf8');
  const typed = body.length === 0 || headers.value.some(([name]) => name.toLowerCase() === 'content-type');
  const head = {
    status: respond.status,
    reason: '',
    headers: typed ? headers.value : [...headers.value, TEXT],
    framing: { kind: 'length', bytes: body.length },
    version: '1.1',
  } as const;
  return ok({ head, body: method === 'HEAD' ? NO_BODY : body, trailers: () => [] });
}

const TEXT: HeaderField = ['Content-Type', 'text/plain; charset=utf-8'];
