/**
 * Addresses a second time, by other means: text by splitting, ranges by BigInt comparison, the table written from the
 * registries' text (IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 4291 §2.4). Pure.
 */

/** The number and width of an address, or null: not one, or not in a form with one reading. */
export function readAddress(text: string): { readonly bits: 32 | 128; readonly value: bigint } | null {
  const quad = readQuad(text);
  if (quad !== null) return { bits: 32, value: quad };
  const groups = readGroups(text);
  return groups === null
    ? null
    : { bits: 128, value: groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n) };
}

function readQuad(text: string): bigint | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let value = 0n;
  for (const part of parts) {
    if (
      part === '' ||
      part.length > 3 ||
      String(Number(part)) !== part ||
      Number(part) > 255 ||
      !/^[0-9]+$/.test(part)
    )
      return null;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function readGroups(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2 || !text.includes(':')) return null;
  const left = halfOf(halves[0] ?? '', halves.length === 1);
  const right = halves.length === 2 ? halfOf(halves[1] ?? '', true) : [];
  if (left === null || right === null) return null;
  const count = left.length + right.length;
  if (halves.length === 1) return count === 8 ? left : null;
  // "::" stands for at least one group here; RFC 4291 §2.2 says "one or more".
  return count <= 7 ? [...left, ...new Array<number>(8 - count).fill(0), ...right] : null;
}

function halfOf(text: string, mayEndInQuad: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const quad = mayEndInQuad && i === parts.length - 1 ? readQuad(part) : null;
      if (quad === null) return null;
      groups.push(Number(quad >> 16n), Number(quad & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

type Range = readonly [first: bigint, last: bigint];

function range(text: string): Range {
  const [base = '', prefix = ''] = text.split('/');
  const address = readAddress(base);
  if (address === null) throw new Error(`${text} is no block`);
  const host = BigInt(address.bits) - BigInt(prefix);
  return [(address.value >> host) << host, ((address.value >> host) << host) | ((1n << host) - 1n)];
}

const within = (value: bigint, ranges: readonly Range[]): boolean =>
  ranges.some(([first, last]) => value >= first && value <= last);

const V4_SPECIAL = (
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 ' +
  '192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32'
)
  .split(' ')
  .map(range);

const V6_UNICAST = [range('2000::/3')];
const V6_SPECIAL = '2001::/23 2001:db8::/32 2002::/16 3fff::/20'.split(' ').map(range);
const V6_MAPPED = [range('::ffff:0:0/96')];

/** True for what may be dialled with `block_private_ips` on and no metadata exception. */
export function isPublic(bits: 32 | 128, value: bigint): boolean {
  if (bits === 32) return !within(value, V4_SPECIAL);
  if (within(value, V6_MAPPED)) return isPublic(32, value & 0xffffffffn);
  return within(value, V6_UNICAST) && !within(value, V6_SPECIAL);
}

/** True where a cloud answers with credentials: RFC 3927 space and the documented single addresses. */
export function isMetadata(bits: 32 | 128, value: bigint): boolean {
  if (bits === 32) return within(value, V4_METADATA);
  if (within(value, V6_METADATA)) return true;
  return within(value, V6_MAPPED) && isMetadata(32, value & 0xffffffffn);
}

const V4_METADATA = '169.254.0.0/16 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32'.split(' ').map(range);
const V6_METADATA = 'fd00:ec2::254/128 fd20:ce::254/128'.split(' ').map(range);
