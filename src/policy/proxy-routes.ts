/**
 * Which of the operator's own proxies a connection goes through: `http_proxy`, `https_proxy`, `no_proxy`.
 *
 * Pure. With `enforce`, nothing is dialled directly but what `add_hosts` pins. A proxy's credentials are written by `connectHead` and cannot be printed.
 */
import { cidrContains, parseAddress, parseCidr } from '../core/address.js';
import { authorityText, parseAuthority } from '../core/authority.js';
import { type Host, parseHostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';

export interface ProxyRoutes {
  readonly http: UpstreamProxy | null;
  /** For https, and for tunnels of any other protocol. */
  readonly https: UpstreamProxy | null;
  /** Hosts that are dialled directly. */
  readonly bypass: (host: Host) => boolean;
}

export class UpstreamProxy {
  readonly host: Host;
  readonly port: number;
  /** `host:port`, without credentials. */
  readonly text: string;
  readonly #authorization: string | null;

  constructor(host: Host, port: number, authorization: string | null) {
    this.host = host;
    this.port = port;
    this.text = authorityText({ scheme: 'https', host, port });
    this.#authorization = authorization;
  }

  /** The request that opens a tunnel to `target`, which is `host:port` (RFC 9110 §9.3.6). */
  connectHead(target: string): string {
    const credentials = this.#authorization === null ? '' : `Proxy-Authorization: ${this.#authorization}\r\n`;
    return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`;
  }

  toString(): string {
    return this.text;
  }

  toJSON(): string {
    return this.text;
  }
}

export type ProxyFault = 'bad-scheme' | 'bad-host' | 'bad-credentials';

const PROXY_URL = /^http:\/\/(?:([^@/\s]*)@)?([^@/\s]+)\/?$/;

/** Reads `http://[user:password@]host[:port]`; credentials are percent-encoded where they need it. */
export function parseProxyUrl(text: string): Result<UpstreamProxy, ProxyFault> {
  const parts = PROXY_URL.exec(text);
  if (parts === null) return err(text.startsWith('http://') ? 'bad-host' : 'bad-scheme');
  const authority = parseAuthority(parts[2] ?? '', 'http');
  if (!authority.ok) return err('bad-host');
  const credentials = parts[1] === undefined ? ok(null) : basicCredentials(parts[1]);
  if (!credentials.ok) return credentials;
  return ok(new UpstreamProxy(authority.value.host, authority.value.port, credentials.value));
}

/** RFC 7617 §2: the user has no colon, and neither part a control character. */
function basicCredentials(userinfo: string): Result<string, 'bad-credentials'> {
  const colon = userinfo.indexOf(':');
  const user = percentDecoded(colon < 0 ? userinfo : userinfo.slice(0, colon));
  const password = percentDecoded(colon < 0 ? '' : userinfo.slice(colon + 1));
  if (user === null || password === null || user.includes(':')) return err('bad-credentials');
  return ok(`Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`);
}

function percentDecoded(text: string): string | null {
  try {
    const decoded = decodeURIComponent(text);
    return /[\0-\x1f\x7f]/.test(decoded) ? null : decoded;
  } catch {
    // Not percent-encoding, or not UTF-8 behind it: the caller names the entry.
    return null;
  }
}

/**
 * The hosts of `no_proxy`: `*`, an address, a CIDR block, or a name, which stands for itself and what is under it (a
 * leading `.` or `*.` changes nothing). The error is the entry that is none of these.
 */
export function parseNoProxy(entries: readonly string[]): Result<(host: Host) => boolean, string> {
  const tests: ((host: Host) => boolean)[] = [];
  for (const entry of entries) {
    const matches = noProxyTest(entry.trim());
    if (matches === null) return err(entry);
    tests.push(matches);
  }
  return ok(host => tests.some(matches => matches(host)));
}

function noProxyTest(entry: string): ((host: Host) => boolean) | null {
  if (entry === '*') return () => true;
  const literal = /^\[(.*)\]$/.exec(entry)?.[1] ?? entry;
  const block = parseCidr(parseAddress(literal).ok ? literal : entry);
  if (block.ok) return host => host.kind === 'ip' && cidrContains(block.value, host.address);
  const name = parseHostname(entry.replace(/^(?:\*\.|\.)/, ''));
  if (!name.ok) return null;
  const suffix = `.${name.value}`;
  return host => host.kind === 'name' && (host.name === name.value || host.name.endsWith(suffix));
}

/** The `proxy:` of a policy, as written; every leaf has been checked. */
export interface ProxySettings {
  readonly httpProxy: string | null;
  readonly httpsProxy: string | null;
  readonly noProxy: readonly string[];
  readonly enforce: boolean;
}

/** With `enforce` one proxy serves both schemes, and no host goes around it. The error is a sentence. */
export function proxyRoutes(settings: ProxySettings): Result<ProxyRoutes, string> {
  const { httpProxy, httpsProxy, noProxy, enforce } = settings;
  if (enforce && noProxy.length > 0) return err('enforce and no_proxy contradict each other');
  if (enforce && httpProxy === null && httpsProxy === null)
    return err('enforce needs http_proxy or https_proxy');
  const http = httpProxy === null ? null : parseProxyUrl(httpProxy);
  const https = httpsProxy === null ? null : parseProxyUrl(httpsProxy);
  const bypass = parseNoProxy(noProxy);
  // The entry itself stays out of the message: it may hold a password.
  if (http !== null && !http.ok)
    return err(`http_proxy is not http://[user:password@]host[:port] (${http.error})`);
  if (https !== null && !https.ok)
    return err(`https_proxy is not http://[user:password@]host[:port] (${https.error})`);
  if (!bypass.ok) return err('no_proxy holds an entry that is no host, address or block');
  const [one, other] = [http?.value ?? null, https?.value ?? null];
  return ok({
    http: one ?? (enforce ? other : null),
    https: other ?? (enforce ? one : null),
    bypass: bypass.value,
  });
}
