/**
 * What a hook is given, as JSON. Pure.
 *
 * Header names are lower case, and fields of one name are one text, joined as RFC 9110 §5.3 joins them (cookies with a
 * semicolon): a script that looks for a word finds it whichever of the fields it stands in.
 */
import type { HeaderList } from '../core/headers.js';
import type {
  ConnectFacts,
  MessageFacts,
  RequestFacts,
  ResolveFacts,
  ResponseFacts,
  TlsFacts,
} from '../policy/hooks.js';

const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['http', 80],
  ['https', 443],
]);

export function requestInput(facts: RequestFacts): object {
  const { method, scheme, host, port, path, query, headers, bodyBytes, body } = facts;
  return {
    method,
    url: urlOf(facts),
    scheme,
    host,
    port,
    path,
    query,
    headers: joined(headers),
    bodyBytes,
    ...(body !== null && { body }),
  };
}

export function responseInput({ status, headers, body, bodyOmitted, request }: ResponseFacts): object {
  return {
    status,
    headers: joined(headers),
    ...(body !== null && { body }),
    ...(bodyOmitted !== null && { bodyOmitted }),
    request: requestInput({ ...request, body: null }),
  };
}

export function messageInput({ direction, kind, text, bytes, request }: MessageFacts): object {
  return {
    direction,
    kind,
    ...(text !== null && { text }),
    bytes,
    request: requestInput({ ...request, body: null }),
  };
}

export function resolveInput({ name, type }: ResolveFacts): object {
  return { name, type };
}

export function connectInput({ host, address, port }: ConnectFacts): object {
  return { host, address, port };
}

export function tlsInput({ sni, alpn }: TlsFacts): object {
  return { sni, alpn };
}

function urlOf({ scheme, host, port, path, query }: RequestFacts): string {
  const name = host.includes(':') ? `[${host}]` : host;
  const shownPort = DEFAULT_PORTS.get(scheme) === port ? '' : `:${port}`;
  return `${scheme}://${name}${shownPort}${path}${query === '' ? '' : `?${query}`}`;
}

function joined(headers: HeaderList): object {
  const fields = new Map<string, string>();
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    const before = fields.get(lower);
    fields.set(lower, before === undefined ? value : `${before}${lower === 'cookie' ? '; ' : ', '}${value}`);
  }
  // Makes own properties of every name, `__proto__` included.
  return Object.fromEntries(fields);
}
