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

/** The blocks of one prefix length, by their bits. */
interface Level<T> {
  readonly prefix: number;
  readonly scopes: Map<Key, Scope<T> & { readonly rules: T[] }>;
}

/** The bits of an address: a number for IPv4, a character for each 16 bits of IPv6. Both are cheap to cut. */
type Key = number | string;

export function createAddressIndex<T>(entries: Iterable<readonly [Cidr, T]>): AddressIndex<T> {
  const levels: Record<4 | 6, Level<T>[]> = { 4: [], 6: [] };
  // Shortest prefix first: what surrounds a block is in place before the block.
  const sorted = [...entries].sort(([a], [b]) => a.prefix - b.prefix);
  for (const [block, rule] of sorted) {
    const family = levels[block.family];
    let level = family[0];
    if (level?.prefix !== block.prefix) {
      level = { prefix: block.prefix, scopes: new Map() };
      family.unshift(level);
    }
    const bits = keyOf(block.bytes);
    const key = cut(bits, block.prefix);
    const scope = level.scopes.get(key);
    if (scope) scope.rules.push(rule);
    else level.scopes.set(key, { rules: [rule], outer: find(family.slice(1), bits), any: false });
  }
  return {
    find: address =>
      levels[address.family].length === 0 ? null : find(levels[address.family], keyOf(address.bytes)),
  };
}

function find<T>(levels: readonly Level<T>[], bits: Key): Scope<T> | null {
  for (const level of levels) {
    const scope = level.scopes.get(cut(bits, level.prefix));
    if (scope !== undefined) return scope;
  }
  return null;
}

function keyOf(bytes: Uint8Array): Key {
  const word = (i: number): number => ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if (bytes.length === 4) return word(0) * 0x1_0000 + word(2);
  return String.fromCharCode(word(0), word(2), word(4), word(6), word(8), word(10), word(12), word(14));
}

/** The first `prefix` bits. */
function cut(bits: Key, prefix: number): Key {
  // A shift by 32 is none at all.
  if (typeof bits === 'number') return prefix === 0 ? 0 : bits >>> (32 - prefix);
  const whole = prefix >> 4;
  const rest = prefix & 15;
  if (rest === 0) return bits.slice(0, whole);
  return bits.slice(0, whole) + String.fromCharCode(bits.charCodeAt(whole) & (0xffff << (16 - rest)));
}
