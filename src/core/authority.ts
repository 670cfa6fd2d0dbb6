/**
 * The one canonical authority of a request (RFC 9110 §4.2, RFC 3986 §3.2).
 *
 * Pure. Policy, secret scope, dial, certificate check, the Host that is written and the event read this object;
 * whatever has two readings does not become one.
 */
import { type Host, type HostFault, hostText, parseHost } from './host.js';
import { err, ok, type Result } from './result.js';

export type Scheme = 'http' | 'https';

export interface Authority {
  readonly scheme: Scheme;
  readonly host: Host;
  readonly port: number;
}

export type AuthorityFault = HostFault | 'bad-port' | 'userinfo';

const PORT = /^[1-9]\d{0,4}$/;

export const DEFAULT_PORT: Readonly<Record<Scheme, number>> = { http: 80, https: 443 };

/** Reads a decimal port, 1-65535, without sign, blank or leading zero. */
export function parsePort(text: string): Result<number, 'bad-port'> {
  if (!PORT.test(text)) return err('bad-port');
  const port = Number(text);
  return port <= 65_535 ? ok(port) : err('bad-port');
}

/** Reads `host[:port]`. An absent port is `defaultPort`; an empty one (`host:`) is refused. */
export function parseAuthority(
  text: string,
  scheme: Scheme,
  defaultPort: number = DEFAULT_PORT[scheme],
): Result<Authority, AuthorityFault> {
  if (text.includes('@')) return err('userinfo');
  const hostEnd = text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':');
  const hostPart = hostEnd > 0 ? text.slice(0, hostEnd) : text;
  const rest = text.slice(hostPart.length);
  const host = parseHost(hostPart);
  if (!host.ok) return host;
  if (rest === '') return ok({ scheme, host: host.value, port: defaultPort });
  if (!rest.startsWith(':')) return err('bad-character');
  const port = parsePort(rest.slice(1));
  return port.ok ? ok({ scheme, host: host.value, port: port.value }) : port;
}

export type UrlFault = AuthorityFault | 'bad-scheme' | 'bad-target';

/** Nothing but visible ASCII, and none of the characters that parsers disagree about (RFC 3986 §2). */
const ORIGIN_FORM = /^\/[\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * Reads an absolute `http` or `https` URL (RFC 9112 §3.2.2). An empty path is `/`; userinfo, a fragment, a
 * backslash, a blank, and a query that follows the host directly are refused.
 */
export function parseUrl(
  text: string,
): Result<{ readonly authority: Authority; readonly path: string }, UrlFault> {
  const scheme = /^(https?):\/\//i.exec(text)?.[1];
  if (scheme === undefined) return err('bad-scheme');
  const rest = text.slice(scheme.length + 3);
  const slash = rest.indexOf('/');
  const authorityPart = slash < 0 ? rest : rest.slice(0, slash);
  const authority = parseAuthority(authorityPart, scheme.toLowerCase() as Scheme);
  if (!authority.ok) return authority;
  const path = slash < 0 ? '/' : rest.slice(slash);
  if (!ORIGIN_FORM.test(path) || path.includes('#')) return err('bad-target');
  return ok({ authority: authority.value, path });
}

/** What we write as Host or `:authority`: the default port of the scheme is left out. */
export function authorityText({ scheme, host, port }: Authority): string {
  const name = host.kind === 'ip' && host.address.family === 6 ? `[${host.address.text}]` : hostText(host);
  return port === DEFAULT_PORT[scheme] ? name : `${name}:${port}`;
}

export function sameAuthority(a: Authority, b: Authority): boolean {
  return a.scheme === b.scheme && a.port === b.port && hostText(a.host) === hostText(b.host);
}
