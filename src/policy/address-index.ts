/**
 * Which rules name an address: one table a prefix length, longest first (RFC 4632 §5.1).
 *
 * Pure. A look-up costs one hash for each distinct prefix length in use, however many blocks there are.
 */
import type { Cidr, IpAddress } from '../core/address.js';
import type { Scope } from './scope.js';

export interface AddressIndex<T> {
  /** The rules of the longest block that holds `address`; the blocks around it hang on `outer`. */
  find(address: IpAddress): Scope<T> | null;
}

interface Level<T> {
  readonly prefix: number;
  readonly scopes: Map<string, Scope<T> & { readonly rules: T[] }>;
}

export function createAddressIndex<T>(entries: Iterable<readonly [Cidr, T]>): AddressIndex<T> {
  const levels = { 4: [] as Level<T>[], 6: [] as Level<T>[] };
  // Shortest prefix first: what surrounds a block is in place before the block.
  const sorted = [...entries].sort(([a], [b]) => a.prefix - b.prefix);
  for (const [block, rule] of sorted) {
    const family = levels[block.family];
    let level = family[0];
    if (level?.prefix !== block.prefix) {
      level = { prefix: block.prefix, scopes: new Map() };
      family.unshift(level);
    }
    const key = maskedKey(rawText(block.bytes), block.prefix);
    const scope = level.scopes.get(key);
    if (scope) scope.rules.push(rule);
    else level.scopes.set(key, { rules: [rule], outer: lookup(family.slice(1), block.bytes), any: false });
  }
  return { find: address => lookup(levels[address.family], address.bytes) };
}

function lookup<T>(levels: readonly Level<T>[], bytes: Uint8Array): Scope<T> | null {
  if (levels.length === 0) return null;
  const raw = rawText(bytes);
  for (const level of levels) {
    const scope = level.scopes.get(maskedKey(raw, level.prefix));
    if (scope) return scope;
  }
  return null;
}

/** The address as a string of its bytes: cheap to cut and to hash. */
function rawText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function maskedKey(raw: string, prefix: number): string {
  const whole = prefix >> 3;
  const rest = prefix & 7;
  if (rest === 0) return raw.slice(0, whole);
  return raw.slice(0, whole) + String.fromCharCode(raw.charCodeAt(whole) & (0xff << (8 - rest)));
}
