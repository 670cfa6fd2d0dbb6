/** Addresses and numbers as messages hold them. Pure. */
import { parseAddress } from '../../core/address.js';

/** Of an address that we wrote ourselves. */
export function ipv6Octets(address: string): Buffer {
  const parsed = parseAddress(address);
  if (parsed.ok && parsed.value.family === 6) return Buffer.from(parsed.value.bytes);
  throw new RangeError(`${address} is no IPv6 address`);
}

/** Of one as `02:53:…`. */
export function macOctets(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
