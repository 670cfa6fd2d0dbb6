/** Secrets as tests use them: the corpus's three, with everything at its default. */
import { parseAuthority } from '../../src/core/authority.js';
import { DEFAULT_PLACES, type Place, parsePlace } from '../../src/secrets/place.js';
import { parseSecret } from '../../src/secrets/secret.js';
import {
  type LoadedSecret,
  type SandboxSecrets,
  type SecretSet,
  SecretStore,
} from '../../src/secrets/store.js';
import type { Outbound } from '../../src/secrets/substitute.js';

export const KEY = new Uint8Array(32).fill(7);

export const A = {
  placeholder: 'GWPH_7f3a9c1e5b2d4f60a1b2c3d4e5f60718',
  value: 'sk-live+REAL/value=0123456789',
};
export const B = { placeholder: 'GWPH_00112233445566778899aabbccddeeff', value: 'tok"quote\\back$&$1%41' };
export const C = {
  placeholder: 'GWPH_0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',
  value: 'xGWPH_7f3a9c1e5b2d4f60a1b2c3d4e5f60718y',
};
export function loaded(name: string, value: string, options: Partial<LoadedSecret> = {}): LoadedSecret {
  const secret = parseSecret(name, value);
  if (!secret.ok) throw new Error(`${name}: ${secret.error}`);
  return {
    secret: secret.value,
    placeholder: null,
    places: DEFAULT_PLACES,
    pinned: false,
    allowHttp: false,
    maxOccurrences: null,
    redact: true,
    requirePlaceholder: false,
    ...options,
  };
}

export function placesOf(...texts: readonly string[]): Place[] {
  return texts.map(text => {
    const place = parsePlace(text);
    if (!place.ok) throw new Error(`${text}: ${place.error}`);
    return place.value;
  });
}

export function setOf(...secrets: readonly LoadedSecret[]): SecretSet {
  return new Map(secrets.map(one => [one.secret.name, one]));
}

/** A, B and C in one sandbox, with the corpus's placeholders. */
export function corpusSecrets(options: Partial<LoadedSecret> = {}): SandboxSecrets {
  const secrets = Object.entries({ A, B, C }).map(([name, { placeholder, value }]) =>
    loaded(name, value, { placeholder, ...options }),
  );
  return new SecretStore(KEY, 'run-1').forSandbox('vm-1', setOf(...secrets));
}

export function outbound(options: Partial<Outbound> & { readonly to?: string } = {}): Outbound {
  const { to = 'https://api.allowed.test', ...rest } = options;
  const [scheme = '', host = ''] = to.split('://');
  const authority = parseAuthority(host, scheme === 'http' ? 'http' : 'https');
  if (!authority.ok) throw new Error(`${to}: ${authority.error}`);
  return { authority: authority.value, method: 'GET', path: '/', headers: [], inScope: ['A', 'C'], ...rest };
}
