/** The scripted cases of the frames corpus, those that a kernel's TAP can be asked. */
import { dhcp, type Ends, ethernet, icmp, ipv6, tcp, udp } from '../frames/build.js';
import type { SeenKind } from '../frames/seen.js';
import { failed, type Outcome, PASSED } from './case.js';
import { endsTo, type FrameBench, handshake } from './frame-cases.js';

type Play = (bench: FrameBench) => Promise<Outcome>;

const OF_THE_KERNEL = "the gate's TCP is the kernel's own, whose own tests cover this";
const NO_STREAM = 'there is no stream link: frames come over a TAP';

const PUBLIC = '93.184.216.34';

/** What plays a scenario, by its words; or why it is not played. */
export function scenarioOf(text: string): Play | string {
  const [, play] = PLAYS.find(([words]) => words.test(text)) ?? [];
  if (play !== undefined) return play;
  return /stream framing/.test(text) ? NO_STREAM : OF_THE_KERNEL;
}

const PLAYS: readonly (readonly [RegExp, Play])[] = [
  [/SYNs from spoofed ports/, floodOfSyns],
  [/pings\/s/, floodOfPings],
  [
    /^ICMP echo with/,
    bench => sends(bench, [ping(bench, '8.8.8.8', 1400)], ['icmp-unreachable', 'echo-reply']),
  ],
  [/^ICMP redirect/, bench => sends(bench, icmpNoise(bench), [])],
  [/^DHCP starvation/, starvation],
  [/^DHCP server OFFER/, bench => sends(bench, [offer(bench)], [])],
  [/^IPv6 RA/, bench => sends(bench, ipv6Noise(bench), [])],
  [/^UDP to 443/, bench => sends(bench, datagrams(bench), ['icmp-unreachable'])],
  [/^TCP 53\/853/, closedPorts],
];

/** Passed if nothing but `allowed` comes back, nothing becomes a connection, and the gate still answers. */
async function sends(
  bench: FrameBench,
  frames: readonly Uint8Array[],
  allowed: readonly SeenKind[],
): Promise<Outcome> {
  const before = bench.flows.length;
  const seen = await bench.link.exchange(frames);
  const others = seen.filter(({ kind }) => !allowed.includes(kind));
  if (others.length > 0)
    return failed(`nothing but ${allowed.join(', ') || 'silence'}`, others.map(({ kind }) => kind).join(' '));
  if (bench.flows.length > before) return failed('no connection', `flow ${bench.flows.at(-1)}`);
  return (await handshake(bench)) ? PASSED : failed('the gate answers', 'silence');
}

async function floodOfSyns(bench: FrameBench): Promise<Outcome> {
  const ends = endsTo(bench.lease, PUBLIC);
  for (let port = 1; port <= 10_000; port += 1) {
    bench.link.send(tcp(ends, { sourcePort: port, targetPort: 80, flags: 0x02 }));
    if (port % 500 === 0) bench.link.read();
  }
  const answered = await handshake(bench);
  // Half-open ones would be answered again and again, in the middle of the cases that follow.
  for (let port = 1; port <= 10_000; port += 1) {
    bench.link.send(tcp(ends, { sourcePort: port, targetPort: 80, seq: 2, flags: 0x04 }));
  }
  return answered ? PASSED : failed('the next connection is answered', 'silence');
}

/** The answers are a courtesy, and there are few of them. */
async function floodOfPings(bench: FrameBench): Promise<Outcome> {
  const frames = Array.from({ length: 5_000 }, () => ping(bench, PUBLIC, 8));
  const seen = await bench.link.exchange(frames);
  return seen.length < 2_500 ? PASSED : failed('fewer answers than pings', `answers ${seen.length}`);
}

function ping({ lease }: FrameBench, target: string, bytes: number): Buffer {
  return icmp(endsTo(lease, target), 8, 0, Buffer.alloc(4 + bytes, 0x41));
}

function icmpNoise({ lease }: FrameBench): readonly Buffer[] {
  const ends = endsTo(lease, lease.gateIpv4);
  return [
    icmp(ends, 5, 1, Buffer.alloc(32)),
    icmp(ends, 9, 0, Buffer.alloc(12)),
    icmp(ends, 13, 0, Buffer.alloc(16)),
  ];
}

/** However many ask, there is one address to be had. */
async function starvation(bench: FrameBench): Promise<Outcome> {
  const frames = Array.from({ length: 1_000 }, (_, at) =>
    discover(bench, `02:00:00:00:${hex(at >> 8)}:${hex(at & 255)}`),
  );
  const seen = await bench.link.exchange(frames);
  const offered = new Set(seen.map(({ frame }) => frame.subarray(YIADDR_AT, YIADDR_AT + 4).join('.')));
  const one =
    seen.every(({ kind }) => kind === 'dhcp-offer') &&
    [...offered].every(text => text === bench.lease.guestIpv4);
  if (!one) return failed(`only ${bench.lease.guestIpv4} is offered`, [...offered].join(' '));
  return (await handshake(bench)) ? PASSED : failed('the gate answers', 'silence');
}

/** After the headers of Ethernet, IPv4 and UDP. */
const YIADDR_AT = 14 + 20 + 8 + 16;

const hex = (value: number): string => value.toString(16).padStart(2, '0');

function discover({ lease }: FrameBench, clientMac: string): Buffer {
  const ends = {
    sourceMac: lease.guestMac,
    targetMac: 'ff:ff:ff:ff:ff:ff',
    source: '0.0.0.0',
    target: '255.255.255.255',
  };
  return udp(ends, 68, 67, dhcp(1, 1, clientMac));
}

function offer({ lease }: FrameBench): Buffer {
  const ends = { ...endsTo(lease, '255.255.255.255'), targetMac: 'ff:ff:ff:ff:ff:ff' };
  return udp(ends, 67, 68, dhcp(2, 2, lease.guestMac));
}

const LOCAL = 'fe80::5894:efff:fe00:2';

/** Router and neighbour messages that would move the gate or a neighbour, and headers that hide what follows. */
function ipv6Noise({ lease }: FrameBench): readonly Buffer[] {
  const all: Ends = {
    sourceMac: lease.guestMac,
    targetMac: '33:33:00:00:00:01',
    source: LOCAL,
    target: 'ff02::1',
  };
  const own = endsTo(lease, '2606:4700::1');
  const other = { ...own, source: '2001:db8::4' };
  const hidden = (next: number): Buffer =>
    Buffer.concat([Buffer.of(6, 0, 0, 0, 0, 0, 0, 0), Buffer.alloc(20, next)]);
  return [
    icmp(all, 134, 0, Buffer.alloc(12)),
    icmp({ ...all, source: lease.gateIpv6 }, 136, 0, Buffer.alloc(20)),
    icmp({ ...all, sourceMac: '02:00:00:00:00:99' }, 135, 0, Buffer.alloc(20)),
    ipv6(own, 44, hidden(44)),
    ipv6(own, 0, hidden(0)),
    ipv6(own, 43, hidden(43)),
    tcp(other, { sourcePort: 4_000, targetPort: 80, flags: 0x02 }),
    ethernet(lease.guestMac, lease.gateMac, 0x86dd, Buffer.alloc(39, 0x60)),
  ];
}

function datagrams({ lease }: FrameBench): readonly Buffer[] {
  const ends = endsTo(lease, PUBLIC);
  return [443, 123, 500, 1194, 51_820, 3478].map(port => udp(ends, 40_000, port, Buffer.from('x')));
}

/** Port 53 is answered by the gate itself, for the resolver; every other is refused at once. */
async function closedPorts(bench: FrameBench): Promise<Outcome> {
  const ports = [853, 25, 22, 3389, 5432];
  const ends = endsTo(bench.lease, PUBLIC);
  const seen = await bench.link.exchange(
    ports.map(port => tcp(ends, { sourcePort: 41_000, targetPort: port, flags: 0x02 })),
  );
  const resets = seen.filter(({ kind }) => kind === 'rst').length;
  return resets === ports.length && seen.length === resets
    ? PASSED
    : failed(`${ports.length} resets`, seen.map(({ kind }) => kind).join(' ') || 'nothing');
}
