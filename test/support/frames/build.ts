/** Ethernet frames for tests: whole ones, with right checksums, unless a test says otherwise. Pure. */

export interface Ends {
  readonly sourceMac: string;
  readonly targetMac: string;
  readonly source: string;
  readonly target: string;
}

const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');

export function ethernet(sourceMac: string, targetMac: string, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([mac(targetMac), mac(sourceMac), uint16(type), payload]);
}

export function ipv4(ends: Ends, protocol: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(20);
  header.set([0x45, 0]);
  header.writeUInt16BE(20 + payload.length, 2);
  header.set([64, protocol], 8);
  header.set(octets(ends.source), 12);
  header.set(octets(ends.target), 16);
  header.writeUInt16BE(checksum([header]), 10);
  return ethernet(ends.sourceMac, ends.targetMac, 0x0800, Buffer.concat([header, payload]));
}

export function ipv6(ends: Ends, next: number, payload: Uint8Array, hopLimit = 255): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(payload.length, 4);
  header.set([next, hopLimit], 6);
  header.set(words(ends.source), 8);
  header.set(words(ends.target), 24);
  return ethernet(ends.sourceMac, ends.targetMac, 0x86dd, Buffer.concat([header, payload]));
}

export interface TcpFields {
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags: number;
}

export function tcp(ends: Ends, { sourcePort, targetPort, seq = 1, ack = 0, flags }: TcpFields): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(sourcePort, 0);
  segment.writeUInt16BE(targetPort, 2);
  segment.writeUInt32BE(seq >>> 0, 4);
  segment.writeUInt32BE(ack >>> 0, 8);
  segment.set([0x50, flags], 12);
  segment.writeUInt16BE(64_240, 14);
  segment.writeUInt16BE(checksum([pseudo(ends, 6, 20), segment]), 16);
  return carried(ends, 6, segment);
}

export function udp(ends: Ends, sourcePort: number, targetPort: number, payload: Uint8Array): Buffer {
  const datagram = Buffer.alloc(8 + payload.length);
  datagram.writeUInt16BE(sourcePort, 0);
  datagram.writeUInt16BE(targetPort, 2);
  datagram.writeUInt16BE(datagram.length, 4);
  datagram.set(payload, 8);
  datagram.writeUInt16BE(checksum([pseudo(ends, 17, datagram.length), datagram]) || 0xffff, 6);
  return carried(ends, 17, datagram);
}

export function icmp(ends: Ends, type: number, code: number, rest: Uint8Array): Buffer {
  const message = Buffer.concat([Buffer.of(type, code, 0, 0), rest]);
  const six = ends.source.includes(':');
  message.writeUInt16BE(checksum(six ? [pseudo(ends, 58, message.length), message] : [message]), 2);
  return carried(ends, six ? 58 : 1, message);
}

/** A DISCOVER or an OFFER of a client with this MAC. */
export function dhcp(op: 1 | 2, kind: number, clientMac: string): Buffer {
  const message = Buffer.alloc(244);
  message.set([op, 1, 6, 0, 1, 2, 3, 4]);
  message.set(mac(clientMac), 28);
  message.writeUInt32BE(0x63825363, 236);
  message.set([53, 1, kind, 255], 240);
  return message;
}

function carried(ends: Ends, protocol: number, payload: Uint8Array): Buffer {
  return ends.source.includes(':') ? ipv6(ends, protocol, payload) : ipv4(ends, protocol, payload);
}

function pseudo({ source, target }: Ends, protocol: number, length: number): Buffer {
  if (source.includes(':'))
    return Buffer.concat([
      words(source),
      words(target),
      Buffer.of(0, 0),
      uint16(length),
      Buffer.of(0, 0, 0, protocol),
    ]);
  return Buffer.concat([octets(source), octets(target), Buffer.of(0, protocol), uint16(length)]);
}

/** RFC 1071. */
export function checksum(parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** An IPv6 address as bytes; `::` at most once. */
export function words(address: string): Buffer {
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const all = tail === undefined ? left : [...left, ...zeros, ...right];
  return Buffer.concat(all.map(word => uint16(Number.parseInt(word, 16))));
}

function uint16(value: number): Buffer {
  return Buffer.of(value >>> 8, value & 0xff);
}
