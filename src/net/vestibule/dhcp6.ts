/**
 * DHCPv6 (RFC 8415) for a link with one client, for guests that come with an init of their own: there is one lease, and
 * it is that client's for ever.
 *
 * Pure: a datagram in, the answer out. Whatever the client calls itself, it is offered the one address; temporary
 * addresses and prefixes there are none.
 */
import { ipv6Octets, macOctets, uint32 } from './octets.js';
import type { TapLease } from './tap-rules.js';

export const DHCP6_SERVER_PORT = 547;
export const DHCP6_CLIENT_PORT = 546;
/** All servers of the link (RFC 8415 §7.1). */
export const DHCP6_GROUP = 'ff02::1:2';

const HEAD_LEN = 4;

const KIND = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  information: 11,
} as const;

const OPTION = {
  client: 1,
  server: 2,
  address: 3,
  temporary: 4,
  leased: 5,
  status: 13,
  rapid: 14,
  dns: 23,
  prefix: 25,
} as const;

const STATUS = { success: 0, noAddress: 2, notOnLink: 4, noPrefix: 6 } as const;

/** §21.11: the server's name must stand in the first, and must not in the second. */
const TO_A_SERVER: ReadonlySet<number> = new Set([KIND.request, KIND.renew, KIND.release, KIND.decline]);
const TO_ALL_SERVERS: ReadonlySet<number> = new Set([KIND.solicit, KIND.confirm, KIND.rebind]);

const LEASE_SECONDS = 86_400;
/** A DUID has 130 bytes at most (§11.1). */
const MOST_DUID = 130;
/** An address association: its number and two times, before its own options. */
const ASSOCIATION_LEN = 12;
const IPV6_LEN = 16;

type Option = readonly [code: number, value: Buffer];

/** The answer to `datagram`, or null for what is no message of the one client. */
export function answerDhcp6(datagram: Uint8Array, lease: TapLease): Uint8Array | null {
  const message = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (message.length < HEAD_LEN) return null;
  const kind = message[0] ?? 0;
  const options = parseOptions(message.subarray(HEAD_LEN));
  if (options === null) return null;
  const client = firstOf(options, OPTION.client);
  const server = firstOf(options, OPTION.server);
  const own = serverName(lease);
  if (server === null ? TO_A_SERVER.has(kind) : TO_ALL_SERVERS.has(kind) || !server.equals(own)) return null;
  if (client === null ? kind !== KIND.information : client.length === 0 || client.length > MOST_DUID)
    return null;
  const answer = answerTo(kind, options, lease);
  if (answer === null) return null;
  const names: readonly Option[] = [
    ...(client === null ? [] : [[OPTION.client, client] as const]),
    [OPTION.server, own],
  ];
  return Buffer.concat([
    Buffer.of(answer.kind),
    message.subarray(1, HEAD_LEN),
    ...[...names, ...answer.options].map(emitOption),
  ]);
}

interface Answer {
  readonly kind: number;
  readonly options: readonly Option[];
}

function answerTo(kind: number, options: readonly Option[], lease: TapLease): Answer | null {
  const dns: Option = [OPTION.dns, ipv6Octets(lease.gateIpv6)];
  switch (kind) {
    case KIND.solicit: {
      const isRapid = firstOf(options, OPTION.rapid) !== null;
      const rapid: readonly Option[] = isRapid ? [[OPTION.rapid, Buffer.alloc(0)]] : [];
      const leased = leasedTo(options, lease);
      return { kind: isRapid ? KIND.reply : KIND.advertise, options: [...rapid, ...leased, dns] };
    }
    case KIND.request:
    case KIND.renew:
    case KIND.rebind:
      return { kind: KIND.reply, options: [...leasedTo(options, lease), dns] };
    case KIND.confirm:
      return {
        kind: KIND.reply,
        options: [statusOf(isOnLink(options, lease) ? 'success' : 'notOnLink'), dns],
      };
    case KIND.release:
    case KIND.decline:
      return { kind: KIND.reply, options: [statusOf('success')] };
    case KIND.information:
      return { kind: KIND.reply, options: [dns] };
    default:
      return null;
  }
}

/** The address to the first association, nothing to any other. */
function leasedTo(options: readonly Option[], lease: TapLease): readonly Option[] {
  let given = false;
  return options.flatMap(([code, value]): readonly Option[] => {
    if (code === OPTION.temporary && value.length >= 4)
      return [[code, Buffer.concat([value.subarray(0, 4), emitOption(statusOf('noAddress'))])]];
    if (code !== OPTION.address && code !== OPTION.prefix) return [];
    if (value.length < ASSOCIATION_LEN) return [];
    const takes = code === OPTION.address && !given;
    given ||= takes;
    const inside = takes ? leased(lease) : statusOf(code === OPTION.prefix ? 'noPrefix' : 'noAddress');
    return [[code, Buffer.concat([value.subarray(0, 4), times(), emitOption(inside)])]];
  });
}

/** When to renew and to ask anybody again (§21.4). */
function times(): Buffer {
  return Buffer.concat([uint32(LEASE_SECONDS / 2), uint32((LEASE_SECONDS / 5) * 4)]);
}

function leased(lease: TapLease): Option {
  const lifetime = uint32(LEASE_SECONDS);
  return [OPTION.leased, Buffer.concat([ipv6Octets(lease.guestIpv6), lifetime, lifetime])];
}

function isOnLink(options: readonly Option[], lease: TapLease): boolean {
  const own = ipv6Octets(lease.guestIpv6);
  return options
    .filter(([code, value]) => code === OPTION.address && value.length >= ASSOCIATION_LEN)
    .flatMap(([, value]) => parseOptions(value.subarray(ASSOCIATION_LEN)) ?? [])
    .filter(([code]) => code === OPTION.leased)
    .every(([, value]) => value.subarray(0, IPV6_LEN).equals(own));
}

function statusOf(status: keyof typeof STATUS): Option {
  const code = Buffer.alloc(2);
  code.writeUInt16BE(STATUS[status]);
  return [OPTION.status, code];
}

/** A name that is made of a link's address (§11.4): the same for ever. */
function serverName({ gateMac }: TapLease): Buffer {
  return Buffer.concat([Buffer.of(0, 3, 0, 1), macOctets(gateMac)]);
}

/** Null for a list that is cut short. */
function parseOptions(bytes: Buffer): readonly Option[] | null {
  const options: Option[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) return null;
    const length = bytes.readUInt16BE(at + 2);
    if (at + 4 + length > bytes.length) return null;
    options.push([bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length)]);
    at += 4 + length;
  }
  return options;
}

function firstOf(options: readonly Option[], wanted: number): Buffer | null {
  return options.find(([code]) => code === wanted)?.[1] ?? null;
}

function emitOption([code, value]: Option): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(code, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value]);
}
