/**
 * `dns.json` through real sockets on loopback: each packet to a room in the synthetic mode and to one in the forward
 * mode whose look-ups are recorded, under the rules of the file's `meta`.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { systemClock } from '../../../src/core/clock.js';
import type { DnsFact } from '../../../src/dns/fact.js';
import { takeMessage } from '../../../src/dns/framing.js';
import { createDnsRoom } from '../../../src/dns/room.js';
import { type Served, serveDnsTcp, serveDnsUdp } from '../../../src/dns/serve.js';
import { decide } from '../../../src/policy/decide.js';
import type { Policy } from '../../../src/policy/policy.js';
import { address, queryBytes } from '../../dns/support.js';
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
import { admittedBy, echoesOnlyTheQuestion, isOrdinaryForm, type Seen, seenIn } from './dns-judge.js';
import { policyOfRules } from './dns-policy.js';
import { dnsScenario } from './dns-scenarios.js';

export const dnsAdapter: CorpusAdapter = { concurrency: 1, open: openSession };

/** The form of the corpora's placeholders; a label cannot hold an underscore at every resolver. */
const PLACEHOLDER = /gwph[-_][0-9a-f]{32}/i;
const TCP_IDLE_MS = 400;
const SENTINEL_NAME = 'sentinel.allowed.test';

type Mode = 'synthetic' | 'forward';

async function openSession(file: CorpusFile): Promise<CorpusSession> {
  const policy = policyOfRules(file.meta.rules);
  const benches = await Promise.all((['synthetic', 'forward'] as const).map(mode => openBench(mode, policy)));
  return {
    run: async corpusCase => {
      if (corpusCase.category === 'scenario') return dnsScenario(corpusCase, policy);
      const packet = Buffer.from(String(corpusCase.packet_hex), 'hex');
      const run = corpusCase.transport === 'tcp' ? runTcp : runUdp;
      for (const bench of benches) {
        const outcome = await run(bench, packet, corpusCase);
        if (outcome.kind !== 'passed') return outcome;
      }
      return PASSED;
    },
    sentinel: async () => {
      const replies = await Promise.all(benches.map(bench => askUdp(bench, sentinelFor(0), 0)));
      return replies.every(reply => reply === null);
    },
    close: async () => benches.forEach(bench => void bench.close()),
  };
}

interface Bench {
  readonly mode: Mode;
  readonly facts: DnsFact[];
  /** Names that left. */
  readonly asked: string[];
  readonly client: Socket;
  readonly udpPort: number;
  readonly tcpPort: number;
  close(): void;
}

async function openBench(mode: Mode, policy: Policy): Promise<Bench> {
  const facts: DnsFact[] = [];
  const asked: string[] = [];
  const room = createDnsRoom({
    sandbox: 'corpus',
    decide: question => decide(policy, question),
    emit: fact => void facts.push(fact),
    clock: systemClock,
    generation: () => policy.generation,
    settings: () => ({ mode, servers: [], blockPrivate: true }),
    isPinned: () => false,
    secretsIn: text => (PLACEHOLDER.test(text) ? ['A'] : []),
    lookUp: async (name, family) => {
      asked.push(name);
      return {
        kind: 'addresses',
        addresses: [address(family === 4 ? '93.184.215.14' : '2600::1')],
        ttlSeconds: 60,
      };
    },
    ipv6: true,
    limits: { queriesPerSecond: 1e6, burst: 1e6, names: 1000, streams: 64 },
  });
  const [server, client] = await Promise.all([boundUdp(), boundUdp()]);
  const served: Served[] = [serveDnsUdp(server, room)];
  const tcp = createServer(
    { allowHalfOpen: true },
    socket => void served.push(serveDnsTcp(socket, room, TCP_IDLE_MS)),
  );
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  return {
    mode,
    facts,
    asked,
    client,
    udpPort: server.address().port,
    tcpPort: portOf(tcp),
    close: closeAll,
  };

  function closeAll(): void {
    for (const one of served) one.close();
    server.close();
    client.close();
    tcp.close();
  }
}

async function runUdp(bench: Bench, packet: Buffer, corpusCase: CorpusCase): Promise<Outcome> {
  bench.facts.length = 0;
  bench.asked.length = 0;
  // Of another id than the packet, so that the two answers cannot be taken for each other.
  const reply = await askUdp(bench, packet, packet.length < 2 ? 1 : packet.readUInt16BE(0) ^ 0xffff);
  return judgePacket(bench, packet, reply, corpusCase);
}

/** What came before the answer to a sentinel that was sent right behind; null if nothing did. */
async function askUdp(bench: Bench, packet: Uint8Array, sentinelId: number): Promise<Buffer | null> {
  const seen: Buffer[] = [];
  const heard = new Promise<void>(resolve => {
    const listen = (reply: Buffer): void => {
      if (reply.readUInt16BE(0) !== sentinelId) return void seen.push(reply);
      bench.client.off('message', listen);
      resolve();
    };
    bench.client.on('message', listen);
  });
  bench.client.send(packet, bench.udpPort, '127.0.0.1');
  bench.client.send(sentinelFor(sentinelId), bench.udpPort, '127.0.0.1');
  await heard;
  return seen[0] ?? null;
}

function judgePacket(
  bench: Bench,
  packet: Buffer,
  reply: Buffer | null,
  { category, expected }: CorpusCase,
): Outcome {
  const wanted = String(expected);
  const seen = seenIn(reply);
  const admitted = new Set<Seen>(admittedBy(wanted));
  if (category === 'malformed' && isOrdinaryForm(packet)) admitted.add('answer');
  const { facts, mode } = bench;
  const fact = facts.find(({ network }) => network.host !== SENTINEL_NAME);
  // The residual channel: a label below an allowed wildcard is asked for in the forward mode.
  const mayLeave = seen === 'answer' && !/no upstream packet/.test(wanted);
  const left = bench.asked.filter(name => name !== SENTINEL_NAME);

  if (!admitted.has(seen)) return failed(`${mode}: ${wanted}`, `${seen}`);
  if (reply !== null && !echoesOnlyTheQuestion(packet, reply))
    return failed('the question alone is echoed', `${seen} and more`);
  if (left.length > 0 && !mayLeave) return failed('nothing leaves', `asked for ${left.join(', ')}`);
  if (fact === undefined) return failed('an event', 'none');
  if (!/^[\x21-\x7e]*$/.test(fact.network.host)) return failed('an event without odd bytes', 'odd bytes');
  if (/leak event/.test(wanted) && fact.type !== 'secret.leak')
    return failed('a secret.leak event', fact.type);
  return PASSED;
}

/** The whole exchange of one connection whose client never ends it: what came until the gateway did. */
async function runTcp(bench: Bench, packet: Buffer, { expected }: CorpusCase): Promise<Outcome> {
  const socket = connect({ port: bench.tcpPort, host: '127.0.0.1' });
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  // A reset is one way of closing.
  socket.on('error', () => socket.destroy());
  const closed = once(socket, 'close');
  socket.write(packet);
  await closed;
  const replies = messagesOf(Buffer.concat(received));
  const words = replies.map(seenIn);
  if (expected === 'close') return replies.length === 0 ? PASSED : failed('close', words.join(' '));
  const queries = messagesOf(packet).length;
  if (expected === 'bounded')
    return replies.length <= queries ? PASSED : failed('bounded', `${replies.length} answers`);
  if (expected === 'answer')
    return words.length === queries && words.every(word => word === 'answer')
      ? PASSED
      : failed('answer', words.join(' ') || 'close');
  const admitted = admittedBy(String(expected));
  if (admitted.size === 0) return skipped(`'${String(expected)}' is not understood`);
  return words.every(word => admitted.has(word)) ? PASSED : failed(expected, words.join(' '));
}

function messagesOf(bytes: Buffer): Uint8Array[] {
  const message = takeMessage(bytes);
  return message === null ? [] : [message, ...messagesOf(bytes.subarray(2 + message.length))];
}

function sentinelFor(id: number): Buffer {
  return queryBytes(SENTINEL_NAME, 1, { id });
}

async function boundUdp(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
