/**
 * IP addresses in their one canonical text form (RFC 4291, RFC 5952) and CIDR blocks (RFC 4632).
 *
 * Pure. Only canonical dotted-quad is IPv4: `010.0.0.1`, `127.1`, `0x7f.1` are refused, never repaired, because
 * resolvers read them in more than one way. Zone identifiers are refused.
 */
import ipaddr from 'ipaddr.js';
import { err, ok, type Result } from './result.js';

export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Uint8Array;
  /** Canonical text: dotted quad, or RFC 5952 lower-case hexadecimal. Equal addresses have equal text. */
  readonly text: string;
}

export interface Cidr {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  readonly prefix: number;
  readonly text: string;
}

/** An address that can be dialled. */
export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export type AddressFault = 'not-an-address' | 'not-canonical' | 'zone';

const DOTTED_QUAD = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6_TEXT = /^[0-9a-fA-F:]+(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})?$/;

/** Reads an address without brackets. IPv6 may be spelled in any RFC 4291 form; `text` is canonical. */
export function parseAddress(text: string): Result<IpAddress, AddressFault> {
  if (text.includes('%')) return err('zone');
  if (DOTTED_QUAD.test(text)) {
    return ok({ family: 4, bytes: Uint8Array.from(text.split('.'), Number), text });
  }
  if (!text.includes(':') || text.length > 45 || !IPV6_TEXT.test(text)) return err('not-an-address');
  const hex = dottedTailAsGroups(text);
  if (hex === null) return err('not-canonical');
  if (!ipaddr.IPv6.isValid(hex)) return err('not-an-address');
  return ok(addressFromBytes(Uint8Array.from(ipaddr.IPv6.parse(hex).toByteArray())));
}

/** `::1.2.3.4` as `::102:304`: the library would read a dotted tail behind `::` as IPv4-mapped. Null: not canonical. */
function dottedTailAsGroups(text: string): string | null {
  const start = text.lastIndexOf(':') + 1;
  const tail = text.slice(start);
  if (!tail.includes('.')) return text;
  if (!DOTTED_QUAD.test(tail)) return null;
  const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number);
  return `${text.slice(0, start)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** The address of 4 or 16 bytes. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return { family: 4, bytes, text: bytes.join('.') };
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  return { family: 6, bytes, text: new ipaddr.IPv6([...bytes]).toRFC5952String() };
}

/** The IPv4 address inside an IPv4-mapped one (::ffff:0:0/96, RFC 4291 §2.5.5.2); any other address as it is. */
export function unmapped(address: IpAddress): IpAddress {
  const { family, bytes } = address;
  if (family === 4 || bytes[10] !== 0xff || bytes[11] !== 0xff) return address;
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return address;
  return addressFromBytes(bytes.slice(12));
}

export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.text === b.text;
}

export type CidrFault = 'not-a-block' | 'host-bits-set';

/** Reads `a.b.c.d/n`, `v6/n`, or a lone address as its single-address block. Bits past the prefix must be zero. */
export function parseCidr(text: string): Result<Cidr, CidrFault> {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address.ok) return err('not-a-block');
  const { family, bytes } = address.value;
  const width = family === 4 ? 32 : 128;
  const digits = slash < 0 ? String(width) : text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(digits) || Number(digits) > width) return err('not-a-block');
  const prefix = Number(digits);
  for (let bit = prefix; bit < width; bit++) {
    if (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) return err('host-bits-set');
  }
  return ok({ family, bytes, prefix, text: `${address.value.text}/${prefix}` });
}

export function cidrContains(block: Cidr, address: IpAddress): boolean {
  if (block.family !== address.family) return false;
  const whole = block.prefix >> 3;
  for (let i = 0; i < whole; i++) if (block.bytes[i] !== address.bytes[i]) return false;
  const rest = block.prefix & 7;
  if (rest === 0) return true;
  const mask = 0xff << (8 - rest);
  return ((block.bytes[whole] ?? 0) & mask) === ((address.bytes[whole] ?? 0) & mask);
}

/** `1.2.3.4:443` or `[2001:db8::1]:443`. */
export function endpointText({ address, port }: Endpoint): string {
  return address.family === 4 ? `${address.text}:${port}` : `[${address.text}]:${port}`;
}
