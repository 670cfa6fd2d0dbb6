/**
 * What an example or `explain` asks about: a URL, or `HOST[:PORT]`.
 *
 * Pure. Read as strictly as a request is.
 */
import { type Authority, parseAuthority, parseUrl } from '../core/authority.js';
import { err, ok, type Result } from '../core/result.js';
import { quoted } from './problem.js';

export interface Subject {
  readonly kind: 'url' | 'connect';
  readonly authority: Authority;
  readonly path: string;
}

/** The error is a sentence for the operator. A `connect` without a port means 443. */
export function parseSubject(kind: 'url' | 'connect', text: string): Result<Subject, string> {
  if (kind === 'url') {
    const url = parseUrl(text);
    return url.ok
      ? ok({ kind, ...url.value })
      : err(`${quoted(text)} is not an http or https URL (${url.error})`);
  }
  const authority = parseAuthority(text, 'https');
  if (!authority.ok) return err(`${quoted(text)} is not HOST[:PORT] (${authority.error})`);
  return ok({ kind, authority: authority.value, path: '/' });
}
