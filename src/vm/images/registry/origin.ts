/**
 * Where a registry is, and where its answers may send us.
 *
 * Pure. Plain HTTP is for registries on this machine, and for those whose operator wrote `http://`.
 */
import { isRegistry } from '../reference.js';

export interface RegistryOrigin {
  /** As references name it. */
  readonly name: string;
  /** `https://HOST[:PORT]`, or `http://`. */
  readonly base: URL;
}

/** The API of the registry that people mean by its site's name. */
const ALIASES: ReadonlyMap<string, string> = new Map([['docker.io', 'registry-1.docker.io']]);

/** Reads `HOST[:PORT]`, with `http://` or `https://` before it where that is to be said; null for anything else. */
export function parseOrigin(text: string): RegistryOrigin | null {
  const [, scheme, name = ''] = /^(?:(https?):\/\/)?([^/]+)\/?$/i.exec(text) ?? [];
  if (!isRegistry(name)) return null;
  const host = ALIASES.get(name) ?? name;
  const implied = isLoopback(new URL(`http://${host}`)) ? 'http' : 'https';
  return { name: name.toLowerCase(), base: new URL(`${scheme?.toLowerCase() ?? implied}://${host}`) };
}

export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * Whether an answer from `from` may send us to `to`: never from TLS to plain HTTP, and in plain HTTP only to where
 * plain HTTP was allowed already, or within this machine. Names and passwords in a URL are nobody's to give us.
 */
export function mayFollow(from: URL, to: URL): boolean {
  if (to.username !== '' || to.password !== '') return false;
  if (to.protocol === 'https:') return true;
  if (to.protocol !== 'http:' || from.protocol !== 'http:') return false;
  return to.origin === from.origin || (isLoopback(from) && isLoopback(to));
}
