/** The leaves of the file of sinks: durations, sizes, targets and places to listen. Pure. */
import { err, ok, type Result } from '../core/result.js';
import { quoted } from '../policy/problem.js';

const MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

/** `500ms`, `30s`, `5m`, `12h` in milliseconds. */
export function parseDuration(text: string): Result<number, string> {
  const [, digits, unit = ''] = /^([1-9]\d{0,5})(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(digits) * (MS.get(unit) ?? 0);
  // A timer of Node's has 31 bits; a longer wait is none that anybody means.
  if (digits === undefined || ms > 2 ** 31 - 1) {
    return err(`${quoted(text)} is not a duration such as 500ms, 30s, 5m or 12h`);
  }
  return ok(ms);
}

const BYTES: ReadonlyMap<string, number> = new Map([
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
]);

/** `64KiB`, `100MiB`, `2GiB` in bytes. */
export function parseSize(text: string): Result<number, string> {
  const [, digits, unit = ''] = /^([1-9]\d{0,5})(KiB|MiB|GiB)$/.exec(text) ?? [];
  const factor = BYTES.get(unit);
  if (digits === undefined || factor === undefined) {
    return err(`${quoted(text)} is not a size such as 64KiB, 100MiB or 2GiB`);
  }
  return ok(Number(digits) * factor);
}

/** Names and addresses of this host, to which nothing travels over a wire that others see. */
const THIS_HOST: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost']);

/** Schemes whose bytes anybody on the way can read and change. */
const PLAIN: ReadonlySet<string> = new Set(['http', 'nats']);

/** A URL of one of `schemes`, without credentials in it; unencrypted ones only to this host. */
export function parseTarget(text: string, schemes: readonly string[]): Result<URL, string> {
  const wrong = err(`${quoted(text)} is not a URL of ${schemes.join(' or ')}`);
  if (!URL.canParse(text)) return wrong;
  const url = new URL(text);
  const scheme = url.protocol.slice(0, -1);
  if (!schemes.includes(scheme) || url.hostname === '' || url.hash !== '') return wrong;
  if (url.username !== '' || url.password !== '') {
    // Not quoted: what stands there is a secret.
    return err('holds credentials: they belong into a variable or a file');
  }
  if (PLAIN.has(scheme) && !isThisHost(url.hostname)) {
    return err(`${quoted(text)} is not encrypted: only this host may be reached so`);
  }
  return ok(url);
}

export function isThisHost(hostname: string): boolean {
  return THIS_HOST.has(hostname);
}

/** Where a server of ours listens. */
export type Listen =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: '127.0.0.1' | '::1'; readonly port: number };

/** The kernel's limit of a socket's path, its NUL left out (unix(7)). */
const MAX_SOCKET_PATH = 107;

/** `unix:/run/sallyport/events.sock`, `127.0.0.1:9400` or `[::1]:9400`; port 0 takes a free one. */
export function parseListen(text: string): Result<Listen, string> {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '' || path.includes('\0')) return err(`${quoted(text)} names no path`);
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
      return err(`${quoted(text)}: a socket's path has at most ${MAX_SOCKET_PATH} bytes`);
    }
    return ok({ kind: 'unix', path });
  }
  const [, host, digits = ''] = /^(127\.0\.0\.1|\[::1\]):(0|[1-9]\d{0,4})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    return err(`${quoted(text)} is not unix:PATH, 127.0.0.1:PORT or [::1]:PORT`);
  }
  return ok({ kind: 'tcp', address: host === '127.0.0.1' ? host : '::1', port });
}
