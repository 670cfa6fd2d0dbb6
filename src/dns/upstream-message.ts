/**
 * The question that the gateway itself asks, and one strict reading of the answer (RFC 1035, RFC 5452).
 *
 * Pure. An answer counts only if it echoes our id and our question; of its records only the chain of CNAMEs that
 * starts at our name and the addresses at its end are read, whatever else a server has put in.
 */
import { encode } from 'dns-packet';
import type { IpAddress } from '../core/address.js';
import type { Hostname } from '../core/host.js';
import { err, ok, type Result } from '../core/result.js';
import { type AnswerRecord, readAnswerSection } from './answer-section.js';
import type { LookUpAnswer } from './look-up.js';

const MAX_CHAIN = 8;
const MAX_ADDRESSES = 32;
/** How long a "no" is believed: SOA minima of a stranger are not read. */
const NEGATIVE_TTL_SECONDS = 5;
const HEADER_BYTES = 12;

export interface Asked {
  readonly name: Hostname;
  readonly family: 4 | 6;
  /** The whole message, id included. */
  readonly packet: Uint8Array;
}

export type AnswerFault =
  | 'mismatch' // not an answer to this question: a late one, or a forged one. Wait on
  | 'truncated' // ask again over TCP
  | 'malformed'
  | 'refused' // any rcode but NOERROR and NXDOMAIN
  | 'chain'; // CNAMEs that fork, or too many of them, a loop included

/** `id` is 16 random bits. */
export function emitQuestion(name: Hostname, family: 4 | 6, id: number): Asked {
  const question = { name, type: family === 4 ? 'A' : 'AAAA', class: 'IN' } as const;
  return { name, family, packet: encode({ type: 'query', id, flags: 0x100, questions: [question] }) };
}

export function readAnswer(bytes: Uint8Array, asked: Asked): Result<LookUpAnswer, AnswerFault> {
  if (!echoes(bytes, asked.packet)) return err('mismatch');
  const low = bytes[3] ?? 0;
  if ((bytes[2] ?? 0) & 0x02) return err('truncated');
  const rcode = low & 0x0f;
  if (rcode === 3) return ok({ kind: 'no-name', ttlSeconds: NEGATIVE_TTL_SECONDS });
  if (rcode !== 0) return err('refused');
  // What echoes the question is as long as it, so the answers begin where it ends.
  const records = readAnswerSection(bytes, asked.packet.length);
  return records.ok ? followChain(records.value, asked) : records;
}

/** Same id, QR, opcode 0, one question, and that question's bytes but for the case of letters. */
function echoes(bytes: Uint8Array, asked: Uint8Array): boolean {
  if (bytes.length < asked.length || bytes[0] !== asked[0] || bytes[1] !== asked[1]) return false;
  if (((bytes[2] ?? 0) & 0xf8) !== 0x80 || bytes[4] !== 0 || bytes[5] !== 1) return false;
  for (let i = HEADER_BYTES; i < asked.length; i++) if (folded(bytes[i]) !== folded(asked[i])) return false;
  return true;
}

/** Lengths of labels are below 64, type and class of ours below 0x41: only letters are folded. */
function folded(byte = 0): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

function followChain(
  records: readonly AnswerRecord[],
  { name, family }: Asked,
): Result<LookUpAnswer, AnswerFault> {
  let owner: string = name;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let hops = 0; hops <= MAX_CHAIN; hops++) {
    const here = records.filter(record => record.owner === owner);
    const aliases = here.filter(record => record.kind === 'alias');
    const [alias] = aliases;
    if (alias === undefined) return ok(endOfChain(here, family, ttlSeconds));
    if (aliases.length > 1) return err('chain');
    ttlSeconds = Math.min(ttlSeconds, ttlOf(alias));
    owner = alias.target;
  }
  return err('chain');
}

function endOfChain(records: readonly AnswerRecord[], family: 4 | 6, chainTtlSeconds: number): LookUpAnswer {
  const addresses = new Map<string, IpAddress>();
  let ttlSeconds = chainTtlSeconds;
  for (const record of records) {
    if (record.kind !== 'address' || record.address.family !== family) continue;
    if (addresses.size >= MAX_ADDRESSES) break;
    addresses.set(record.address.text, record.address);
    ttlSeconds = Math.min(ttlSeconds, ttlOf(record));
  }
  if (addresses.size === 0) ttlSeconds = NEGATIVE_TTL_SECONDS;
  return { kind: 'addresses', addresses: [...addresses.values()], ttlSeconds };
}

/** RFC 2181 §8: a TTL with its top bit set is zero. */
function ttlOf({ ttl }: AnswerRecord): number {
  return ttl > 0x7fff_ffff ? 0 : ttl;
}
