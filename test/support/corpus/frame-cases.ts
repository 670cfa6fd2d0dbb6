/** Frames of the corpus, written to the TAP of a real gate: what comes back, and what becomes a connection. */
import { openVestibule, TAP_LEASE, type TapLease, type Vestibule } from '../../../src/net/vestibule/index.js';
import { tcp } from '../frames/build.js';
import { Link } from '../frames/link.js';
import type { Seen, SeenKind } from '../frames/seen.js';
import {
  type CorpusAdapter,
  type CorpusCase,
  type CorpusFile,
  type CorpusSession,
  failed,
  type Outcome,
  PASSED,
  skipped,
} from './case.js';
import { scenarioOf } from './frame-scenarios.js';

export interface FrameBench {
  readonly door: Vestibule;
  readonly link: Link;
  readonly lease: TapLease;
  /** Connections that were accepted since the door was opened. */
  readonly flows: readonly string[];
}

/** A port that the policy names, and one more: all the corpus's allowed connections go to 80. */
const PORTS = [{ from: 80, to: 80 }];

export const frameAdapter: CorpusAdapter = {
  concurrency: 1,
  async open(file) {
    const bench = await openBench(leaseOf(file));
    return sessionOf(bench);
  },
};

export async function openBench(lease: TapLease): Promise<FrameBench> {
  const flows: string[] = [];
  const door = await openVestibule({
    sandbox: 'frames',
    allowedPorts: PORTS,
    tap: lease,
    nameOf: () => null,
    onFlow: flow => {
      flows.push(`${flow.source.address.text} ${flow.target.address.text} ${flow.target.port}`);
      flow.refuse();
    },
    onDnsTcp: flow => flow.refuse(),
    onDnsUdp: () => {},
  });
  if (door.tap === null) throw new Error('the door has no TAP');
  return { door, link: new Link(door.tap.fd), lease, flows };
}

/** The addresses that the file is written for. */
function leaseOf({ meta }: CorpusFile): TapLease {
  const given = meta.addresses as Readonly<Record<string, string>>;
  const colons = (hex = ''): string => (hex.match(/../g) ?? []).join(':');
  return {
    ...TAP_LEASE,
    gateIpv4: given.gateway ?? '',
    guestIpv4: given.guest ?? '',
    prefixIpv4: 24,
    gateMac: colons(given.gateway_mac),
    guestMac: colons(given.guest_mac),
    gateIpv6: '2001:db8::1',
    guestIpv6: '2001:db8::3',
  };
}

function sessionOf(bench: FrameBench): CorpusSession {
  return {
    run: corpusCase => runCase(bench, corpusCase),
    sentinel: async () => (await handshake(bench)) && bench.flows.length > 0,
    close: () => bench.door.close(),
  };
}

async function runCase(bench: FrameBench, corpusCase: CorpusCase): Promise<Outcome> {
  const { frames_hex: hex, scenario, expected } = corpusCase;
  if (typeof scenario === 'string') {
    const play = scenarioOf(scenario);
    return typeof play === 'string' ? skipped(play) : await play(bench);
  }
  if (!Array.isArray(hex) || typeof expected !== 'string')
    return skipped('a case of a shape that is not known');
  const evidence = /event|counter/.test(expected);
  const [flowsBefore, countedBefore] = [bench.flows.length, evidence ? await counted(bench) : 0];
  const seen = await bench.link.exchange(hex.map(text => Buffer.from(String(text), 'hex')));
  const verdict = judge(expected, seen);
  endConnections(bench, seen);
  if (bench.flows.length > flowsBefore) return failed(expected, `flow ${bench.flows.at(-1)}`);
  if (verdict.kind === 'passed' && evidence && (await counted(bench)) <= countedBefore)
    return failed(expected, 'no evidence');
  return verdict;
}

interface Rule {
  readonly expected: RegExp;
  /** Every one of these is required; none: nothing may come. */
  readonly must?: readonly SeenKind[];
  /** These may come too. */
  readonly may?: readonly SeenKind[];
}

/** The first that fits says what `expected` means here. A rule is about words, never about a case. */
const RULES: readonly Rule[] = [
  { expected: /^ARP reply/, must: ['arp-reply'] },
  { expected: /^SYN-ACK/, may: ['syn-ack', 'rst'] },
  { expected: /^OFFER/, must: ['dhcp-offer'] },
  { expected: /^ACK/, must: ['dhcp-ack'] },
  { expected: /^NAK/, must: ['dhcp-nak'] },
  { expected: /resolver/, may: ['dns'] },
  { expected: /^treated as a SYN/, must: ['syn-ack'] },
  { expected: /^RST or drop/, may: ['rst'] },
  { expected: /^RST/, must: ['rst'] },
  { expected: /clamped/, may: ['rst', 'syn-ack'] },
  { expected: /^dropped or (trimmed|reassembled|same policy|ignored)/, may: ['rst', 'syn-ack'] },
  { expected: /^dropped \(no reassembly\) or reassembled/, may: ['rst', 'syn-ack'] },
  { expected: /ICMP unreachable optional/, may: ['icmp-unreachable'] },
  { expected: /^local synthetic echo reply or drop/, may: ['icmp-unreachable', 'echo-reply'] },
  { expected: /^(dropped|no answer|bounded|ignored)/ },
];

export function judge(expected: string, seen: readonly Seen[]): Outcome {
  const rule = RULES.find(each => each.expected.test(expected));
  if (rule === undefined) return skipped(`an expectation that is not known: ${expected}`);
  const kinds = seen.map(({ kind }) => kind);
  const { must = [], may = [] } = rule;
  const text = kinds.length === 0 ? 'nothing' : kinds.join(' ');
  if (must.some(kind => !kinds.includes(kind))) return failed(expected, text);
  if (kinds.some(kind => !must.includes(kind) && !may.includes(kind))) return failed(expected, text);
  if (/without ECN/.test(expected) && seen.some(hasEcho)) return failed(expected, 'syn-ack with ECE');
  return /^SYN-ACK/.test(expected) && kinds.length === 0 ? failed(expected, text) : PASSED;
}

/** The ECE flag of a TCP segment over IPv4. */
function hasEcho({ frame }: Seen): boolean {
  return ((frame[14 + 20 + 13] ?? 0) & 0x40) !== 0;
}

/** What the gate has counted of refused packets, all together. */
export async function counted({ door }: FrameBench): Promise<number> {
  return (await door.refusals()).reduce((total, { packets }) => total + packets, 0);
}

/** A half-open connection would be answered again and again, in the middle of what comes next. */
export function endConnections({ link, lease }: FrameBench, seen: readonly Seen[]): void {
  for (const { kind, frame } of seen) {
    if (kind !== 'syn-ack') continue;
    const six = frame.readUInt16BE(12) === 0x86dd;
    const segment = frame.subarray(six ? 54 : 34);
    const target = six ? ipv6Text(frame.subarray(22, 38)) : frame.subarray(26, 30).join('.');
    const ports = { sourcePort: segment.readUInt16BE(2), targetPort: segment.readUInt16BE(0) };
    link.send(tcp(endsTo(lease, target), { ...ports, seq: segment.readUInt32BE(8), flags: 0x04 }));
  }
}

function ipv6Text(bytes: Buffer): string {
  return (bytes.toString('hex').match(/.{4}/g) ?? []).join(':');
}

export function endsTo(lease: TapLease, target: string) {
  const source = target.includes(':') ? lease.guestIpv6 : lease.guestIpv4;
  return { sourceMac: lease.guestMac, targetMac: lease.gateMac, source, target };
}

let nextPort = 50_000;

/** A whole TCP handshake with port 80 of a public address: whether it was answered. */
export async function handshake({ link, lease }: FrameBench): Promise<boolean> {
  const ends = endsTo(lease, '93.184.216.34');
  const ports = { sourcePort: nextPort++, targetPort: 80 };
  const seen = await link.exchange([tcp(ends, { ...ports, seq: 100, flags: 0x02 })]);
  const answer = seen.find(
    ({ kind, frame }) => kind === 'syn-ack' && frame.readUInt16BE(36) === ports.sourcePort,
  );
  if (answer === undefined) return false;
  const ack = answer.frame.readUInt32BE(38) + 1;
  await link.exchange([tcp(ends, { ...ports, seq: 101, ack, flags: 0x10 })]);
  return true;
}
