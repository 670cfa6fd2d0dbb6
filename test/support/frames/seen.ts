/** What a frame from the gate says, in one word. Pure. */

export type SeenKind =
  | 'arp-reply'
  | 'syn-ack'
  | 'rst'
  | 'tcp'
  | 'icmp-unreachable'
  | 'echo-reply'
  | 'dhcp-offer'
  | 'dhcp-ack'
  | 'dhcp-nak'
  | 'dns'
  | 'neighbour-advert'
  | 'router-advert'
  | 'dhcp6-advertise'
  | 'dhcp6-reply'
  /** What the gate's kernel says unasked: neighbour and listener messages of IPv6. */
  | 'chatter'
  | 'other';

export interface Seen {
  readonly kind: SeenKind;
  readonly frame: Buffer;
}

const ETHERNET_LEN = 14;

export function seenIn(frame: Buffer): Seen {
  return { kind: kindOf(frame), frame };
}

function kindOf(frame: Buffer): SeenKind {
  const payload = frame.subarray(ETHERNET_LEN);
  switch (frame.readUInt16BE(12)) {
    case 0x0806:
      return payload.readUInt16BE(6) === 2 ? 'arp-reply' : 'chatter';
    case 0x0800:
      return ofIpv4(payload[9] ?? 0, payload.subarray(((payload[0] ?? 0) & 15) * 4));
    case 0x86dd:
      return ofIpv6(payload[6] ?? 0, payload.subarray(40));
    default:
      return 'other';
  }
}

function ofIpv4(protocol: number, payload: Buffer): SeenKind {
  if (protocol === 6) return ofTcp(payload);
  if (protocol === 1)
    return payload[0] === 3 ? 'icmp-unreachable' : payload[0] === 0 ? 'echo-reply' : 'other';
  if (protocol === 17) return ofUdp(payload);
  return 'other';
}

function ofIpv6(next: number, payload: Buffer): SeenKind {
  if (next === 6) return ofTcp(payload);
  if (next === 17) return ofUdp(payload);
  if (next === 0) return 'chatter'; // listener reports have a hop-by-hop header
  if (next !== 58) return 'other';
  if (payload[0] === 1) return 'icmp-unreachable';
  if (payload[0] === 129) return 'echo-reply';
  if (payload[0] === 134) return 'router-advert';
  if (payload[0] === 136) return 'neighbour-advert';
  return payload[0] === 133 || payload[0] === 135 || payload[0] === 143 ? 'chatter' : 'other';
}

function ofTcp(segment: Buffer): SeenKind {
  const flags = segment[13] ?? 0;
  if ((flags & 0x04) !== 0) return 'rst';
  return (flags & 0x12) === 0x12 ? 'syn-ack' : 'tcp';
}

function ofUdp(datagram: Buffer): SeenKind {
  if (datagram.readUInt16BE(0) === 53) return 'dns';
  if (datagram.readUInt16BE(0) === 547)
    return ({ 2: 'dhcp6-advertise', 7: 'dhcp6-reply' } as const)[datagram[8] ?? 0] ?? 'other';
  if (datagram.readUInt16BE(0) !== 67) return 'other';
  // Our own answers say first what they are: code 53, one byte.
  return ({ 2: 'dhcp-offer', 5: 'dhcp-ack', 6: 'dhcp-nak' } as const)[datagram[8 + 240 + 2] ?? 0] ?? 'other';
}
