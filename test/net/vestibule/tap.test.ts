import { parseTapRefusals } from '../../../src/net/vestibule/refusals.js';
import { linkLocalOf, TAP_LEASE } from '../../../src/net/vestibule/tap-rules.js';
import {
  endConnections,
  endsTo,
  type FrameBench,
  handshake,
  openBench,
} from '../../support/corpus/frame-cases.js';
import { dhcp, icmp, tcp, udp, words } from '../../support/frames/build.js';

/** The gate of a machine without a machine: frames are written to the TAP as a VMM would write them. */
let bench: FrameBench;

beforeAll(async () => {
  bench = await openBench(TAP_LEASE);
});

afterAll(() => bench.door.close());

const kinds = async (...frames: readonly Buffer[]): Promise<readonly string[]> => {
  const seen = await bench.link.exchange(frames);
  endConnections(bench, seen);
  return seen.map(({ kind }) => kind);
};

const SYN = { sourcePort: 40_001, targetPort: 80, flags: 0x02 };

test('a connection from the leased address is accepted, with the target that it was meant for', async () => {
  expect(await handshake(bench)).toBe(true);
  expect(bench.flows.at(-1)).toBe('198.19.255.254 93.184.216.34 80');
});

test('the same over IPv6', async () => {
  const ends = endsTo(bench.lease, '2606:4700::1');
  expect(await kinds(tcp(ends, SYN))).toEqual(['syn-ack']);
});

test('the gate tells its own MAC in both families, and nobody else’s', async () => {
  const { lease } = bench;
  const solicit = (target: string) => {
    const ends = { ...endsTo(lease, 'ff02::1:ff00:1'), targetMac: '33:33:ff:00:00:01' };
    const option = Buffer.from(`0101${lease.guestMac.replaceAll(':', '')}`, 'hex');
    return icmp(ends, 135, 0, Buffer.concat([Buffer.alloc(4), words(target), option]));
  };
  expect(await kinds(solicit(lease.gateIpv6))).toEqual(['neighbour-advert']);
  expect(await kinds(solicit('fd53:616c:6c79::7'))).toEqual([]);
});

test('a port that no rule names is refused at once, and a datagram that is no question too', async () => {
  const ends = endsTo(bench.lease, '93.184.216.34');
  expect(await kinds(tcp(ends, { ...SYN, targetPort: 22 }))).toEqual(['rst']);
  expect(await kinds(udp(ends, 40_002, 443, Buffer.from('x')))).toEqual(['icmp-unreachable']);
});

test('no frame under another MAC or address is answered, in either family', async () => {
  const four = endsTo(bench.lease, '93.184.216.34');
  const six = endsTo(bench.lease, '2606:4700::1');
  const forged = [
    tcp({ ...four, sourceMac: '02:00:00:00:00:99' }, SYN),
    tcp({ ...four, source: '198.19.255.253' }, SYN),
    tcp({ ...four, source: '10.0.0.1' }, SYN),
    tcp({ ...six, source: 'fd53:616c:6c79::9' }, SYN),
    icmp(
      { ...six, source: linkLocalOf(bench.lease.guestMac), target: bench.lease.gateIpv6 },
      128,
      0,
      Buffer.alloc(8),
    ),
  ];
  expect(await kinds(...forged)).toEqual([]);
});

test('DHCP offers the lease, and refuses every other address', async () => {
  const ask = (kind: number, options: readonly number[] = []) => {
    const ends = {
      ...endsTo(bench.lease, '255.255.255.255'),
      source: '0.0.0.0',
      targetMac: 'ff:ff:ff:ff:ff:ff',
    };
    const message = dhcp(1, kind, bench.lease.guestMac);
    return udp(ends, 68, 67, Buffer.concat([message.subarray(0, 243), Buffer.from([...options, 255])]));
  };
  expect(await kinds(ask(1))).toEqual(['dhcp-offer']);
  expect(await kinds(ask(3, [50, 4, 198, 19, 255, 254]))).toEqual(['dhcp-ack']);
  expect(await kinds(ask(3, [50, 4, 10, 0, 0, 9]))).toEqual(['dhcp-nak']);
});

const local = (): { sourceMac: string; targetMac: string; source: string; target: string } => ({
  ...endsTo(bench.lease, 'ff02::1:2'),
  targetMac: '33:33:00:01:00:02',
  source: linkLocalOf(bench.lease.guestMac),
});
const association = Buffer.concat([Buffer.of(0, 3, 0, 12), Buffer.alloc(12, 1)]);
const clientName = Buffer.of(0, 1, 0, 4, 0, 4, 9, 9);
const solicit = (sourcePort = 546, kind = 1): Buffer =>
  udp(local(), sourcePort, 547, Buffer.concat([Buffer.of(kind, 1, 2, 3), clientName, association]));

test('a guest that asks for its router is told of the gate, and that addresses come by DHCPv6', async () => {
  const ends = { ...local(), target: 'ff02::2', targetMac: '33:33:00:00:00:02' };
  const seen = await bench.link.exchange([icmp(ends, 133, 0, Buffer.alloc(4))], 1_500);
  const told = seen.find(({ kind }) => kind === 'router-advert');
  const message = told?.frame.subarray(14 + 40) ?? Buffer.alloc(16);
  expect(told?.frame[14 + 7]).toBe(255);
  expect((message[5] ?? 0) & 0xc0).toBe(0xc0);
  expect(message.readUInt16BE(6)).toBeGreaterThan(0);
  expect(Buffer.from(told?.frame.subarray(6, 12) ?? []).toString('hex')).toBe(
    bench.lease.gateMac.replaceAll(':', ''),
  );
});

test('DHCPv6 offers the lease over IPv6', async () => {
  const seen = await bench.link.exchange([solicit()]);
  const told = seen.find(({ kind }) => kind === 'dhcp6-advertise');
  expect(told?.frame.includes(words(bench.lease.guestIpv6))).toBe(true);
});

test('what only a router or a server says reaches nothing when the guest says it', async () => {
  const toAll = { ...local(), target: 'ff02::1', targetMac: '33:33:00:00:00:01' };
  const rogue = [
    icmp(toAll, 134, 0, Buffer.concat([Buffer.of(64, 0xc0, 7, 8), Buffer.alloc(8)])),
    icmp({ ...toAll, source: bench.lease.guestIpv6 }, 134, 0, Buffer.alloc(12)),
    icmp(toAll, 137, 0, Buffer.alloc(36)),
    udp({ ...local(), target: linkLocalOf(bench.lease.gateMac) }, 547, 546, Buffer.of(7, 1, 2, 3)),
    udp(toAll, 547, 546, Buffer.of(2, 1, 2, 3)),
    udp({ ...local(), source: 'fe80::1' }, 546, 547, Buffer.of(1, 1, 2, 3)),
    solicit(5000),
    solicit(546, 7),
    udp(
      { ...endsTo(bench.lease, '255.255.255.255'), targetMac: 'ff:ff:ff:ff:ff:ff' },
      67,
      68,
      dhcp(2, 2, bench.lease.guestMac),
    ),
  ];
  expect(await kinds(...rogue)).toEqual([]);
});

test('what was refused is on record, by what was tried and by whose address was claimed', async () => {
  const refusals = await bench.door.refusals();
  const told = refusals.map(({ protocol, address, port }) => `${protocol} ${address} ${port}`);
  expect(told).toEqual(expect.arrayContaining(['tcp 93.184.216.34 22', 'udp 93.184.216.34 443']));
  expect(told).toEqual(
    expect.arrayContaining(['forged 10.0.0.1 0', 'forged fd53:616c:6c79::9 0', 'malformed  0']),
  );
});

test('an opened port is open from then on, and a closed one closed', async () => {
  const ends = endsTo(bench.lease, '93.184.216.34');
  await bench.door.reloadPorts([{ from: 22, to: 22 }]);
  expect(await kinds(tcp(ends, { ...SYN, sourcePort: 40_003, targetPort: 22 }))).toEqual(['syn-ack']);
  expect(await kinds(tcp(ends, { ...SYN, sourcePort: 40_004 }))).toEqual(['rst']);
  await bench.door.reloadPorts([{ from: 80, to: 80 }]);
});

test('the link-local address of a MAC is the one that a kernel makes of it', () => {
  expect(linkLocalOf('02:53:61:6c:6c:01')).toBe('fe80::53:61ff:fe6c:6c01');
  expect(linkLocalOf('5a:94:ef:00:00:02')).toBe('fe80::5894:efff:fe00:2');
});

test('two sets of one address are one record', () => {
  const listing = `table netdev gate { set forged { type inet_proto . ipv4_addr
    elements = { 6 . 10.0.0.1 counter packets 2 bytes 80, 17 . 10.0.0.1 counter packets 1 bytes 30 } }
    counter strange { packets 4 bytes 99 } }`;
  expect(parseTapRefusals(listing)).toEqual([
    { protocol: 'forged', address: '10.0.0.1', port: 0, packets: 3, bytes: 110 },
    { protocol: 'malformed', address: '', port: 0, packets: 4, bytes: 99 },
  ]);
});
