/** Queries as a stub would send them, and a room whose time and look-ups the test holds. */
import { decode, encode, type Packet } from 'dns-packet';
import { type IpAddress, parseAddress } from '../../src/core/address.js';
import { type Hostname, parseHostname } from '../../src/core/host.js';
import type { DnsFact } from '../../src/dns/fact.js';
import type { LookUpAnswer } from '../../src/dns/look-up.js';
import { createDnsRoom, type DnsRoom, type DnsRoomOptions } from '../../src/dns/room.js';
import type { Question, Verdict } from '../../src/policy/question.js';

export const NEVER = new AbortController().signal;

export function hostname(text: string): Hostname {
  const name = parseHostname(text);
  if (!name.ok) throw new Error(`${text}: ${name.error}`);
  return name.value;
}

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.error}`);
  return parsed.value;
}

export interface QueryParts {
  readonly edns?: { readonly udpBytes?: number; readonly optionHex?: string };
  readonly flags?: number;
  readonly id?: number;
}

/** The wire form of a query for `name` (dots part labels) and a numeric type. */
export function queryBytes(name: string, type: number, parts: QueryParts = {}): Buffer {
  const labels = name === '.' ? [] : name.split('.').map(label => Buffer.from(label, 'latin1'));
  const qname = Buffer.concat([
    ...labels.flatMap(label => [Buffer.of(label.length), label]),
    Buffer.from([0, type >> 8, type & 0xff, 0, 1]),
  ]);
  const head = Buffer.from('000001000001000000000000', 'hex');
  head.writeUInt16BE(parts.id ?? 0x1234, 0);
  head.writeUInt16BE(parts.flags ?? 0x0100, 2);
  if (parts.edns === undefined) return Buffer.concat([head, qname]);
  head[11] = 1;
  const options = Buffer.from(parts.edns.optionHex ?? '', 'hex');
  const opt = Buffer.from('0000290000000000000000', 'hex');
  opt.writeUInt16BE(parts.edns.udpBytes ?? 1232, 3);
  opt.writeUInt16BE(options.length, 9);
  return Buffer.concat([head, qname, opt, options]);
}

export interface ReadReply {
  readonly rcode: number;
  readonly truncated: boolean;
  readonly data: readonly string[];
  readonly ttl: number | null;
  readonly packet: Packet;
}

export function readReply(bytes: Uint8Array): ReadReply {
  const packet = decode(Buffer.from(bytes));
  const answers = packet.answers ?? [];
  const data = answers.map(answer => ('data' in answer ? String(answer.data) : ''));
  const [first] = answers;
  const ttl = first !== undefined && 'ttl' in first ? (first.ttl ?? null) : null;
  const [high = 0, low = 0] = bytes.subarray(2, 4);
  return { rcode: low & 0x0f, truncated: (high & 2) !== 0, data, ttl, packet };
}

/** Allows `allowed.test`, `*.allowed.test` and `db`; denies everything else. */
export function decideForTest(question: Question): Verdict {
  if (question.ask !== 'resolve') throw new Error('the room asks for names only');
  const { name } = question;
  if (name === 'allowed.test' || name.endsWith('.allowed.test') || name === 'db') {
    return { allow: true, rule: 'allow_domain[0]', via: 'inspect', secrets: [] };
  }
  return { allow: false, rule: null, reason: 'no-rule', hint: 'no rule allows it' };
}

export interface TestRoom {
  readonly room: DnsRoom;
  readonly facts: DnsFact[];
  /** `name/family` of each look-up that left. */
  readonly asked: string[];
  advance(ms: number): void;
  ask(name: string, type: number, parts?: QueryParts): Promise<ReadReply>;
}

export function testRoom(
  options: Partial<DnsRoomOptions> = {},
  answers: (name: string, family: 4 | 6) => LookUpAnswer | Error = () => new Error('no server'),
): TestRoom {
  const facts: DnsFact[] = [];
  const asked: string[] = [];
  let nowMs = 1000;
  const room = createDnsRoom({
    sandbox: 's1',
    decide: decideForTest,
    emit: fact => void facts.push(fact),
    clock: { now: () => nowMs, monotonic: () => nowMs },
    generation: () => 7,
    settings: () => ({ mode: 'synthetic', servers: [], blockPrivate: true }),
    isPinned: () => false,
    secretsIn: () => [],
    lookUp: async (name, family) => {
      asked.push(`${name}/${family}`);
      const answer = answers(name, family);
      if (answer instanceof Error) throw answer;
      return answer;
    },
    ipv6: true,
    ...options,
  });
  return {
    room,
    facts,
    asked,
    advance: ms => {
      nowMs += ms;
    },
    ask: async (name, type, parts) => {
      const reply = await room.answer(queryBytes(name, type, parts), 'udp', NEVER);
      if (reply === null) throw new Error('no answer');
      return readReply(reply);
    },
  };
}

/** A name server's answer to `query`, from its records. */
export function serverAnswer(query: Uint8Array, parts: Partial<Packet>): Buffer {
  const { id, questions } = decode(Buffer.from(query));
  return encode({ type: 'response', id: id ?? 0, flags: 0x180, questions: questions ?? [], ...parts });
}
