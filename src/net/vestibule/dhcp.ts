/**
 * DHCP (RFC 2131) for a link with one client: there is one lease, and it is that client's for ever.
 *
 * Pure: a datagram in, the answer out. The link says who asks, not the MAC that the client writes: under a thousand
 * names it is offered the one address.
 */
import type { TapLease } from './tap-rules.js';

export interface DhcpAnswer {
  readonly bytes: Uint8Array;
  /** The client cannot yet receive what is sent to its address (RFC 2131 §4.1). */
  readonly broadcast: boolean;
}

const HEADER_LEN = 236;
const MAGIC = 0x63825363;
const OPTIONS_AT = HEADER_LEN + 4;
const REQUEST_OP = 1;
const REPLY_OP = 2;
const ETHERNET = 1;
const MAC_LEN = 6;
const BROADCAST_FLAG = 0x8000;

const AT = { xid: 4, flags: 10, ciaddr: 12, yiaddr: 16, siaddr: 20, chaddr: 28 } as const;

const OPTION = {
  pad: 0,
  mask: 1,
  router: 3,
  dns: 6,
  mtu: 26,
  requested: 50,
  leaseSeconds: 51,
  kind: 53,
  server: 54,
  end: 255,
} as const;

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const ACK = 5;
const NAK = 6;
const INFORM = 8;

const LEASE_SECONDS = 86_400;

/** The answer to `datagram`, or null for what is no request of the one client. */
export function answerDhcp(datagram: Uint8Array, lease: TapLease): DhcpAnswer | null {
  const request = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (!isRequest(request)) return null;
  const options = parseOptions(request.subarray(OPTIONS_AT));
  if (options === null) return null;
  const server = options.get(OPTION.server);
  if (server !== undefined && !server.equals(octets(lease.gateIpv4))) return null;
  const kind = options.get(OPTION.kind)?.[0];
  const wanted = options.get(OPTION.requested) ?? request.subarray(AT.ciaddr, AT.ciaddr + 4);
  if (kind === DISCOVER) return emitAnswer(request, OFFER, lease);
  if (kind === INFORM) return emitAnswer(request, ACK, lease, { address: false });
  if (kind !== REQUEST) return null;
  if (wanted.equals(octets(lease.guestIpv4))) return emitAnswer(request, ACK, lease);
  return emitAnswer(request, NAK, lease, { address: false });
}

function isRequest(message: Buffer): boolean {
  if (message.length < OPTIONS_AT || message.readUInt32BE(HEADER_LEN) !== MAGIC) return false;
  return message[0] === REQUEST_OP && message[1] === ETHERNET && message[2] === MAC_LEN;
}

/** Null for a list that is cut short. The first of two options of one kind counts. */
function parseOptions(bytes: Buffer): ReadonlyMap<number, Buffer> | null {
  const options = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at] ?? OPTION.end;
    if (code === OPTION.end) break;
    at += 1;
    if (code === OPTION.pad) continue;
    const length = bytes[at];
    if (length === undefined || at + 1 + length > bytes.length) return null;
    if (!options.has(code)) options.set(code, bytes.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return options;
}

function emitAnswer(
  request: Buffer,
  kind: number,
  lease: TapLease,
  { address = true }: { readonly address?: boolean } = {},
): DhcpAnswer {
  const header = Buffer.alloc(OPTIONS_AT);
  header.set([REPLY_OP, ETHERNET, MAC_LEN]);
  request.copy(header, AT.xid, AT.xid, AT.xid + 4);
  request.copy(header, AT.flags, AT.flags, AT.flags + 2);
  if (kind === ACK) request.copy(header, AT.ciaddr, AT.ciaddr, AT.ciaddr + 4);
  if (address) header.set(octets(lease.guestIpv4), AT.yiaddr);
  if (kind !== NAK) header.set(octets(lease.gateIpv4), AT.siaddr);
  request.copy(header, AT.chaddr, AT.chaddr, AT.chaddr + 16);
  header.writeUInt32BE(MAGIC, HEADER_LEN);
  const bytes = Buffer.concat([header, ...emitOptions(kind, lease, address), Buffer.of(OPTION.end)]);
  const broadcast = (request.readUInt16BE(AT.flags) & BROADCAST_FLAG) !== 0 || kind === NAK;
  return { bytes, broadcast };
}

function emitOptions(kind: number, lease: TapLease, address: boolean): readonly Buffer[] {
  const gate = octets(lease.gateIpv4);
  const always = [option(OPTION.kind, Buffer.of(kind)), option(OPTION.server, gate)];
  if (kind === NAK) return always;
  const mask = (0xffff_ffff << (32 - lease.prefixIpv4)) >>> 0;
  return [
    ...always,
    ...(address ? [option(OPTION.leaseSeconds, uint(LEASE_SECONDS, 4))] : []),
    option(OPTION.mask, uint(mask, 4)),
    option(OPTION.router, gate),
    option(OPTION.dns, gate),
    option(OPTION.mtu, uint(lease.mtu, 2)),
  ];
}

function option(code: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(code, value.length), value]);
}

function uint(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}

function octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}
