/**
 * What is to be said to one readable query, before any address is found.
 *
 * Pure. Only A and AAAA of an allowed name ever lead to an address; every other type of an allowed name is answered
 * with nothing, here, so that no record type is a channel (HTTPS and SVCB would also bring ECH and HTTP/3).
 */
import { addressFromBytes, type IpAddress, parseAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import type { Question, Verdict } from '../policy/question.js';
import { type Ruled, ruledBy } from '../policy/shadow.js';
import type { DnsReason } from './fact.js';
import { type Query, RCODE, type Rcode, TYPE } from './message.js';
import { SYNTHETIC_TTL_SECONDS } from './names.js';
import type { Data } from './reply.js';

export type Ruling =
  | Refusal
  /** To be answered as it stands. */
  | ({ readonly kind: 'reply'; readonly answers: readonly Data[] } & Ruled)
  /** An address of this family is to be found for the name. */
  | ({ readonly kind: 'address'; readonly name: Hostname; readonly family: 4 | 6 } & Ruled);

export interface Refusal {
  readonly kind: 'refusal';
  readonly rcode: Rcode;
  readonly reason: DnsReason;
  readonly hint: string;
  readonly rule: string | null;
  /** Names of the secrets that the name carries. */
  readonly secrets: readonly string[];
}

export interface RulingInputs {
  readonly decide: (question: Question) => Verdict;
  /** Names of the secrets whose placeholder, or value, stands in this text. */
  readonly secretsIn: (text: string) => readonly string[];
  readonly nameOf: (address: IpAddress) => Hostname | null;
  /** False: the sandbox has no IPv6, and AAAA is answered with nothing. */
  readonly ipv6: boolean;
}

export function ruleOn(query: Query, inputs: RulingInputs): Ruling {
  const { name, type } = query;
  const secrets = inputs.secretsIn(query.text);
  if (secrets.length > 0) {
    const hint = `the name carries the secret ${secrets.join(', ')}, which no name server may learn`;
    return { ...refusal(RCODE.nxDomain, 'secret-in-name', hint), secrets };
  }
  if (isMetaType(type)) {
    return refusal(
      RCODE.notImp,
      'dns-type',
      'only records can be asked for: no zone, no transfer, no key exchange',
    );
  }
  if (name === null) {
    return refusal(
      RCODE.nxDomain,
      'dns-bad-name',
      'a host name has letters, digits, hyphens and underscores',
    );
  }
  if (name === 'localhost' || name.endsWith('.localhost')) return replyLoopback(type, inputs.ipv6);
  if (isReverse(name)) return replyReverse(name, type, inputs);

  const verdict = inputs.decide({ ask: 'resolve', name });
  if (!verdict.allow) return { ...refusal(RCODE.nxDomain, verdict.reason, verdict.hint), rule: verdict.rule };
  if (type === TYPE.a) return { kind: 'address', name, family: 4, ...ruledBy(verdict) };
  if (type === TYPE.aaaa && inputs.ipv6) return { kind: 'address', name, family: 6, ...ruledBy(verdict) };
  return { kind: 'reply', answers: [], ...ruledBy(verdict) };
}

export function refusal(rcode: Rcode, reason: DnsReason, hint: string): Refusal {
  return { kind: 'refusal', rcode, reason, hint, rule: null, secrets: [] };
}

/** OPT, and QTYPEs and Meta-TYPEs (RFC 6895 §3.1): 128 to 255, of which ANY is answered with nothing (RFC 8482). */
function isMetaType(type: number): boolean {
  return type === 0 || type === TYPE.opt || (type >= 128 && type < TYPE.any);
}

const LOOPBACK4 = addressFromBytes(Uint8Array.of(127, 0, 0, 1));
const LOOPBACK6 = addressFromBytes(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));

/** RFC 6761 §6.3. It is the sandbox's own loopback, which never comes to us. */
function replyLoopback(type: number, ipv6: boolean): Ruling {
  const address = type === TYPE.a ? LOOPBACK4 : type === TYPE.aaaa && ipv6 ? LOOPBACK6 : null;
  return { kind: 'reply', answers: address === null ? [] : [{ kind: 'address', address }], rule: null };
}

const REVERSE4 = '.in-addr.arpa';
const REVERSE6 = '.ip6.arpa';

function isReverse(name: Hostname): boolean {
  return `.${name}`.endsWith(REVERSE4) || `.${name}`.endsWith(REVERSE6);
}

/** The addresses that we gave out have names; what others are called is nobody's business here. */
function replyReverse(name: Hostname, type: number, inputs: RulingInputs): Ruling {
  const address = reversedAddress(name);
  const owner = address === null ? null : inputs.nameOf(address);
  if (owner === null) {
    const hint = 'only an address that this resolver gave out has a name here';
    return refusal(RCODE.nxDomain, 'dns-unknown-address', hint);
  }
  return { kind: 'reply', answers: type === TYPE.ptr ? [{ kind: 'name', name: owner }] : [], rule: null };
}

/** RFC 1035 §3.5, RFC 3596 §2.5. */
function reversedAddress(name: Hostname): IpAddress | null {
  const isV4 = name.endsWith(REVERSE4);
  const labels = name
    .slice(0, -(isV4 ? REVERSE4 : REVERSE6).length)
    .split('.')
    .reverse();
  if (!isV4 && (labels.length !== 32 || labels.some(nibble => nibble.length !== 1))) return null;
  const text = isV4 ? labels.join('.') : (labels.join('').match(/.{4}/g) ?? []).join(':');
  const address = parseAddress(text);
  return address.ok ? address.value : null;
}

/** How long a reply that is not about an address may be remembered. */
export const REPLY_TTL_SECONDS = SYNTHETIC_TTL_SECONDS;
