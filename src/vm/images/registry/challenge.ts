/**
 * What a registry asks for before it answers: `WWW-Authenticate` (RFC 9110 §11.6.1; RFC 6750 §3; the token protocol of
 * the distribution project).
 *
 * Pure.
 */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: URL;
      readonly service: string | null;
      readonly scope: string | null;
    };

const PARAMETER = /([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;

/** The challenge of a field that holds one; null for what is not understood. */
export function parseChallenge(field: string): Challenge | null {
  const [, scheme = '', rest = ''] = /^\s*(basic|bearer)\b\s*(.*)$/is.exec(field) ?? [];
  if (scheme === '') return null;
  const parameters = parseParameters(rest);
  if (parameters === null) return null;
  if (scheme.toLowerCase() === 'basic') return { scheme: 'basic' };
  const realm = urlOf(parameters.get('realm') ?? '');
  if (realm === null) return null;
  return {
    scheme: 'bearer',
    realm,
    service: parameters.get('service') ?? null,
    scope: parameters.get('scope') ?? null,
  };
}

function parseParameters(text: string): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    PARAMETER.lastIndex = at;
    const match = PARAMETER.exec(text);
    if (match === null) return null;
    const name = (match[1] ?? '').toLowerCase();
    if (parameters.has(name)) return null;
    parameters.set(name, match[2]?.replace(/\\(.)/gs, '$1') ?? match[3] ?? '');
    const separator = /^\s*(?:,\s*|$)/.exec(text.slice(PARAMETER.lastIndex));
    if (separator === null) return null;
    at = PARAMETER.lastIndex + separator[0].length;
  }
  return parameters;
}

function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

/** Where to ask for a token that reads `repository`. The scope is ours: a registry cannot ask us for more. */
export function tokenUrl({ realm, service }: Challenge & { scheme: 'bearer' }, repository: string): URL {
  const url = new URL(realm);
  if (service !== null) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${repository}:pull`);
  return url;
}
