/**
 * Names of images: `[registry/]path[:tag][@digest]` (OCI distribution-spec 1.1, "Pulling manifests").
 *
 * Pure. A name without a registry is looked for in those of a list, in its order.
 */
import { err, ok, type Result } from '../../core/result.js';
import { type Digest, isDigest } from './manifest.js';

export interface Reference {
  /** `host` or `host:port`; null where the name says none. */
  readonly registry: string | null;
  readonly repository: string;
  /** `latest` where neither tag nor digest is given. */
  readonly tag: string;
  /** What it must be; it goes before the tag. */
  readonly digest: Digest | null;
}

/** A reference whose registry is known. */
export type FullReference = Reference & { readonly registry: string };

export const DEFAULT_REGISTRY = 'docker.io';

const PART = '[a-z0-9]+(?:(?:\\.|_{1,2}|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${PART}(?:/${PART})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?$/;

/** Reads what a user writes; the error is a sentence. */
export function parseReference(text: string): Result<Reference, string> {
  const [before = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !isDigest(digest))) {
    return err('the part after @ is not sha256: and 64 hexadecimal digits');
  }
  const [first = '', ...others] = before.split('/');
  const hasRegistry = others.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const registry = hasRegistry ? first.toLowerCase() : null;
  if (registry !== null && !isRegistry(registry)) return err(`${first} is not HOST or HOST:PORT`);
  const rest = hasRegistry ? others.join('/') : before;
  const colon = rest.lastIndexOf(':');
  const repository = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? 'latest' : rest.slice(colon + 1);
  if (!REPOSITORY.test(repository) || repository.length > 255) {
    return err('its path is not lower-case words with . _ - between them, and / between those');
  }
  if (!TAG.test(tag)) return err('its tag is not at most 128 of letters, digits and . _ -');
  return ok({ registry, repository, tag, digest: digest === undefined ? null : (digest as Digest) });
}

export function isRegistry(text: string): boolean {
  const match = REGISTRY.exec(text);
  return (
    match !== null &&
    text.length <= 255 &&
    (match[1] === undefined || (Number(match[1]) > 0 && Number(match[1]) < 65536))
  );
}

/** The references that a name may mean, in the order in which they are tried. */
export function candidatesOf(reference: Reference, registries: readonly string[]): readonly FullReference[] {
  const { registry } = reference;
  const hosts = registry === null ? registries : [registry];
  return hosts.map(host => {
    // The one registry whose official images have a folder that nobody writes.
    const isOfficial = host === DEFAULT_REGISTRY && !reference.repository.includes('/');
    return {
      ...reference,
      registry: host,
      repository: isOfficial ? `library/${reference.repository}` : reference.repository,
    };
  });
}

/** The name as it is kept, whole: equal names are equal texts. */
export function nameOf({ registry, repository, tag, digest }: Reference): string {
  const host = registry === null ? '' : `${registry}/`;
  return digest === null ? `${host}${repository}:${tag}` : `${host}${repository}@${digest}`;
}
