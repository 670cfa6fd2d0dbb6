/**
 * Who may speak to a server of ours: this host's programs with the token, and no browser (threats C1, C2). Pure.
 *
 * A name that was made to lead to loopback shows in Host; a page of the web shows in Origin. Nothing is ever allowed
 * across origins, and no cookie is known.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Endpoint } from '../core/address.js';

export interface Door {
  /** Null: a unix socket, whose file says who may. */
  readonly endpoint: Endpoint | null;
  /** Null only for a unix socket. */
  readonly token: string | null;
}

export interface Refused {
  readonly status: 401 | 403 | 405;
  readonly why: string;
}

export interface Knock {
  readonly method: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Null: come in. */
export function refusal({ method, headers }: Knock, door: Door): Refused | null {
  if (method !== 'GET') return { status: 405, why: 'only GET' };
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
    return { status: 403, why: 'not for browsers' };
  }
  if (!isOwnHost(headers.host, door.endpoint)) return { status: 403, why: 'Host is not this server' };
  return hasToken(headers.authorization, door.token)
    ? null
    : { status: 401, why: 'the bearer token is missing' };
}

function isOwnHost(host: string | undefined, endpoint: Endpoint | null): boolean {
  // No name leads to a unix socket.
  if (endpoint === null) return true;
  const { address, port } = endpoint;
  const literal = address.text.includes(':') ? `[${address.text}]` : address.text;
  return host === `${literal}:${port}` || host === `localhost:${port}`;
}

/** By digests, so that the time it takes says nothing about the token, not even its length. */
function hasToken(authorization: string | undefined, token: string | null): boolean {
  if (token === null) return true;
  return timingSafeEqual(digest(authorization ?? ''), digest(`Bearer ${token}`));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
