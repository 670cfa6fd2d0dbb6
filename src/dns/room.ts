/**
 * The resolver of one sandbox. A name that a rule may allow gets an address; every other gets NXDOMAIN and an
 * Extended DNS Error; in the synthetic mode no packet leaves at all, in the forward mode one for A or AAAA of an
 * allowed name.
 *
 * No I/O of its own: packets come and go as bytes, time and the look-up are passed in.
 */
import type { IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import type { Hook, Permission, ResolveFacts } from '../policy/hooks.js';
import type { DnsSettings } from '../policy/policy.js';
import type { Question, Verdict } from '../policy/question.js';
import type { Ruled } from '../policy/shadow.js';
import { type AdmissionOptions, createAdmission, ROOM_LIMITS, type RoomLimits } from './admission.js';
import { type DnsFact, dnsFact } from './fact.js';
import { type Found, forwardAddresses } from './forward.js';
import { createForwardedNames, type ForwardedNames } from './forwarded-names.js';
import type { LookUp } from './look-up.js';
import { type BadQuery, DNS_HEADER_BYTES, parseQuery, type Query, RCODE } from './message.js';
import { createSyntheticNames, SYNTHETIC_TTL_SECONDS, type SyntheticNames } from './names.js';
import { EDE_BLOCKED, emitFault, emitReply, type Transport } from './reply.js';
import { REPLY_TTL_SECONDS, type Refusal, type Ruling, refusal, ruleOn } from './ruling.js';
import { typeText } from './type-text.js';

/** `generation` is the policy's, for the events. */
export interface DnsRoomOptions extends AdmissionOptions {
  readonly decide: (question: Question) => Verdict;
  /** Asked anew for each query, so that a reload takes effect at once. */
  readonly settings: () => Pick<DnsSettings, 'mode' | 'servers' | 'blockPrivate'>;
  /** Names that `add_hosts` pins: they get a synthetic address in the forward mode too. */
  readonly isPinned: (name: Hostname) => boolean;
  /** Names of the secrets whose placeholder, or value, stands in this text (as received, case included). */
  readonly secretsIn: (text: string) => readonly string[];
  /** Asks the real servers; used in the forward mode only. */
  readonly lookUp: LookUp;
  /** Whether the sandbox has IPv6. */
  readonly ipv6: boolean;
  /** Asked about what the rules allow, before anything is found; null: nobody is to be asked. */
  readonly approve?: (() => Hook<ResolveFacts, Permission>) | undefined;
  readonly limits?: RoomLimits;
}

export interface DnsRoom {
  /** The answer to one message; null where there is to be none: over TCP that means to close. Never rejects. */
  answer(packet: Uint8Array, transport: Transport, signal: AbortSignal): Promise<Uint8Array | null>;
  /** Counts one TCP connection: call what it gives back, once, when it has ended. Null: there are too many. */
  admitStream(): (() => void) | null;
  /** The name that `address` was given out for. */
  nameOf(address: IpAddress): Hostname | null;
  /** A flow to `address` has begun: the address keeps its name until as many `release`s. */
  retain(address: IpAddress): void;
  release(address: IpAddress): void;
}

export function createDnsRoom(options: DnsRoomOptions): DnsRoom {
  const limits = options.limits ?? ROOM_LIMITS;
  const names: Names = {
    synthetic: createSyntheticNames(limits.names),
    forwarded: createForwardedNames(limits.names),
  };
  const both = [names.synthetic, names.forwarded];
  const nameOf = (address: IpAddress): Hostname | null =>
    names.synthetic.nameOf(address) ?? names.forwarded.nameOf(address);
  const admission = createAdmission(options, limits);

  const answer: DnsRoom['answer'] = async (packet, transport, signal) => {
    if (!admission.admitQuery(packet, transport)) return turnAway(packet, transport);
    const begunMs = options.clock.monotonic();
    const query = parseQuery(packet);
    const settled = query.ok
      ? await settle(query.value, transport, signal, { ...options, names, nameOf })
      : settleFault(packet, query.error);
    const fact = dnsFact({
      ...settled,
      sandbox: options.sandbox,
      transport,
      generation: options.generation(),
      host: query.ok ? eventName(query.value) : '',
      method: query.ok ? typeText(query.value.type) : '',
      requestBytes: packet.length,
      responseBytes: settled.packet?.length ?? 0,
      durationMs: options.clock.monotonic() - begunMs,
    });
    if (settled.secrets.length > 0) options.emit({ ...fact, type: 'secret.leak' });
    options.emit(fact);
    return settled.packet;
  };

  return {
    answer,
    admitStream: admission.admitStream,
    nameOf,
    retain: address => both.forEach(kind => void kind.retain(address)),
    release: address => both.forEach(kind => void kind.release(address)),
  };
}

interface Names {
  readonly synthetic: SyntheticNames;
  readonly forwarded: ForwardedNames;
}

interface Inside extends DnsRoomOptions {
  readonly names: Names;
  readonly nameOf: (address: IpAddress) => Hostname | null;
}

/** An answer, and its part of the event. */
interface Settled extends Pick<Refusal, 'hint' | 'secrets'>, Ruled {
  readonly packet: Uint8Array | null;
  readonly type: DnsFact['type'];
  readonly reason: Refusal['reason'] | null;
}

async function settle(
  query: Query,
  transport: Transport,
  signal: AbortSignal,
  inside: Inside,
): Promise<Settled> {
  const ruling = await approved(ruleOn(query, inside), query, inside);
  if (ruling.kind !== 'address') return settleRuling(query, ruling, transport);
  const found = await find(ruling.name, ruling.family, signal, inside);
  if (found.kind === 'refusal') return settleRuling(query, { ...found, rule: ruling.rule }, transport);
  const answers = found.addresses.map(address => ({ kind: 'address', address }) as const);
  const packet = emitReply(query, { rcode: found.rcode, answers, ttlSeconds: found.ttlSeconds }, transport);
  const facts = { type: 'dns.answered', reason: found.reason, hint: '', secrets: [] } as const;
  return { packet, ...facts, ...ruled(ruling) };
}

/** A rule's yes is the policy script's to narrow. */
async function approved(ruling: Ruling, { name, type }: Query, { approve }: Inside): Promise<Ruling> {
  const hook = approve?.() ?? null;
  if (hook === null || name === null || ruling.kind === 'refusal' || ruling.rule === null) return ruling;
  const answer = await hook({ name, type: typeText(type) });
  if (answer.kind === 'allow') return ruling;
  return { ...refusal(RCODE.nxDomain, answer.code, answer.reason), rule: 'policy_script' };
}

async function find(name: Hostname, family: 4 | 6, signal: AbortSignal, inside: Inside): Promise<Found> {
  const { names, clock, lookUp } = inside;
  const { mode, servers, blockPrivate } = inside.settings();
  if (mode === 'forward' && !inside.isPinned(name)) {
    const ask = { name, family, servers, blockPrivate, signal };
    return forwardAddresses(ask, { lookUp, names: names.forwarded, clock });
  }
  const pair = names.synthetic.addressesOf(name, clock.monotonic());
  if (!pair.ok)
    return refusal(RCODE.servFail, 'LIMIT_EXCEEDED', 'too many names are in use at the same time');
  const addresses = [family === 4 ? pair.value.ipv4 : pair.value.ipv6];
  return { kind: 'found', rcode: RCODE.noError, addresses, ttlSeconds: SYNTHETIC_TTL_SECONDS, reason: null };
}

function ruled({ rule, would_deny }: Ruled): Ruled {
  return would_deny === undefined ? { rule } : { rule, would_deny };
}

type Final = Exclude<Ruling, { readonly kind: 'address' }>;

function settleRuling(query: Query, ruling: Final, transport: Transport): Settled {
  if (ruling.kind === 'reply') {
    const reply = { rcode: RCODE.noError, answers: ruling.answers, ttlSeconds: REPLY_TTL_SECONDS };
    const packet = emitReply(query, reply, transport);
    return { packet, type: 'dns.answered', reason: null, hint: '', secrets: [], ...ruled(ruling) };
  }
  const { rcode, reason, hint, rule, secrets } = ruling;
  const error = { code: EDE_BLOCKED, text: reason };
  const packet = emitReply(query, { rcode, answers: [], ttlSeconds: 0, error }, transport);
  return { packet, type: 'dns.refused', reason, hint, rule, secrets };
}

/** Over UDP silence is the cheapest; over TCP it would be taken for a closed connection. */
function turnAway(packet: Uint8Array, transport: Transport): Uint8Array | null {
  return transport === 'udp' || packet.length < DNS_HEADER_BYTES ? null : emitFault(packet, RCODE.refused);
}

function settleFault(packet: Uint8Array, { fault, rcode }: BadQuery): Settled {
  const answer = rcode === null ? null : emitFault(packet, rcode);
  const hint = 'the bytes are not one well-formed query';
  return { packet: answer, type: 'dns.refused', reason: fault, hint, rule: null, secrets: [] };
}

/** The canonical name where there is one, so that 0x20 case does not make two hosts of one. */
function eventName(query: Query): string {
  return query.name ?? query.text;
}
