/** What an `expected` of `dns.json` lets the resolver do, and what a reply is in the same words. Pure. */
import { decode, encode } from 'dns-packet';
import { parseQuery } from '../../../src/dns/message.js';
import { readReply } from '../../dns/support.js';

export type Seen =
  | 'answer'
  | 'empty'
  | 'nxdomain'
  | 'refused'
  | 'notimp'
  | 'formerr'
  | 'servfail'
  | 'silence';

const RCODES: readonly Seen[] = ['empty', 'formerr', 'servfail', 'nxdomain', 'notimp', 'refused'];

/** The words of `expected`, each with what it admits. What follows a semicolon is asserted apart. */
const ADMITTED: readonly (readonly [RegExp, readonly Seen[]])[] = [
  [/^answer\b|synthetic (?:address|answers)/, ['answer']],
  [/NOERROR empty/, ['empty']],
  [/NXDOMAIN/, ['nxdomain']],
  [/REFUSED/, ['refused']],
  [/NOTIMP/, ['notimp']],
  [/FORMERR/, ['formerr']],
  [/SERVFAIL/, ['servfail']],
  [/no answer|\bdropped/, ['silence']],
  [/^blocked|^denied/, ['nxdomain', 'refused']],
];

/** Empty: the words are new to us. */
export function admittedBy(expected: string): ReadonlySet<Seen> {
  return new Set(ADMITTED.filter(([words]) => words.test(expected)).flatMap(([, seen]) => seen));
}

export function seenIn(reply: Uint8Array | null): Seen {
  if (reply === null) return 'silence';
  const { rcode, data } = readReply(reply);
  return data.length > 0 ? 'answer' : (RCODES[rcode] ?? 'servfail');
}

/**
 * Forms that stand among the malformed and that ordinary stubs send: the AD and CD bits (musl, dig: RFC 6840 §5.7)
 * and EDNS with nothing, a cookie (dig, c-ares: RFC 7873) or another option that brings no stranger's bytes. To refuse them would leave those programs without names, so
 * they are read as if they were not there. `docs/decisions/0004-resolver.md` says so.
 */
export function isOrdinaryForm(packet: Buffer): boolean {
  if (packet.length < 17 || !ORDINARY_HEAD.test(packet.toString('hex', 2, 12))) return false;
  try {
    const { questions = [] } = decode(packet);
    const question = encode({ questions }).subarray(12);
    const rest = packet.subarray(12 + question.length).toString('hex');
    return packet.subarray(12, -rest.length / 2 || undefined).equals(question) && ORDINARY_TAIL.test(rest);
  } catch {
    // No message at all to an independent reader.
    return false;
  }
}

/** RD, AD and CD at most; one question, no records, one additional at most. */
const ORDINARY_HEAD = /^0[01][0-3]0000100000000000[01]$/;
/** Nothing, or one OPT of version 0 with nothing in it but a cookie, NSID, keepalive or a list of algorithms. */
const ORDINARY_TAIL =
  /^(?:000029.{4}0000.{4}.{4}(?:000a0008.{16}|000a00(?:1[0-9a-f]|2[0-8])(?:..){16,40}|00030000|000b0000|000[567]00..(?:..){0,8})*)?$/;

/** The question comes back byte for byte, and of what stood after it nothing does. */
export function echoesOnlyTheQuestion(packet: Uint8Array, reply: Uint8Array): boolean {
  const query = parseQuery(packet);
  if (!query.ok) return reply.length <= 12;
  const { question } = query.value;
  const echoed = Buffer.from(reply.subarray(12, 12 + question.length));
  const cookie = Buffer.from(packet.subarray(12 + question.length + 15));
  const rest = Buffer.from(reply.subarray(12 + question.length));
  return echoed.equals(question) && (cookie.length < 8 || !rest.includes(cookie.subarray(0, 8)));
}
