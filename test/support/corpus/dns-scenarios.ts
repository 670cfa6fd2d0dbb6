/** The scripted scenarios of `dns.json` that the resolver and the policy alone can be asked. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Answer, Packet } from 'dns-packet';
import { parseAuthority } from '../../../src/core/authority.js';
import { createLookUp } from '../../../src/dns/client.js';
import { createSystemResolver } from '../../../src/dns/system-resolver.js';
import { decide } from '../../../src/policy/decide.js';
import type { Policy } from '../../../src/policy/policy.js';
import { address, hostname, NEVER, queryBytes, serverAnswer, testRoom } from '../../dns/support.js';
import { type CorpusCase, failed, type Outcome, PASSED, skipped } from './case.js';

const NAME = hostname('allowed.test');
const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string): Answer => ({ type: 'CNAME', name, data, ttl: 60 });

type Scenario = (policy: Policy, text: string) => Promise<Outcome> | Outcome;

const SCENARIOS: readonly (readonly [RegExp, Scenario])[] = [
  [/CNAME loop/, cnameLoop],
  [/answer: .*CNAME.* A \d/, cnameToPrivate],
  [/\d+ A records/, manyRecords],
  [/TTL 0 then private/, rebinding],
  [/for another name/, poisoning],
  [/TTL 2\^31/, hugeTtl],
  [/queries\/s/, flood],
  [/never exceeds the query/, amplification],
  [/853 \(DoT\)/, dnsOverTls],
  [/^HTTPS to /, dnsOverHttps],
  [/DoH by IP literal/, dnsOverHttpsByAddress],
];

export async function dnsScenario({ scenario }: CorpusCase, policy: Policy): Promise<Outcome> {
  const text = String(scenario);
  const found = SCENARIOS.find(([words]) => words.test(text));
  return found ? found[1](policy, text) : skipped('needs the inner door: asked by its own tests');
}

function check(holds: boolean, expected: string, seen: unknown): Outcome {
  return holds ? PASSED : failed(expected, seen);
}

/** Runs `use` with a room in the forward mode and a resolver, both asking a server that gives `parts`. */
async function withServer<T>(
  parts: () => readonly Partial<Packet>[],
  use: (world: {
    ask: ReturnType<typeof testRoom>['ask'];
    addresses: () => Promise<string[]>;
    advance: (ms: number) => void;
  }) => Promise<T>,
): Promise<T> {
  const server = createSocket('udp4');
  server.on('message', (query, from) => {
    for (const part of parts()) server.send(serverAnswer(query, part), from.port, from.address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const servers = [{ address: address('127.0.0.1'), port: server.address().port }];
  const client = { timeoutMs: 2000, tries: 2 };
  let nowMs = 0;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const resolver = createSystemResolver({ servers: () => servers, client, clock, hostsPath: '/dev/null' });
  const settings = () => ({ mode: 'forward', servers, blockPrivate: true }) as const;
  const { ask } = testRoom({ settings, lookUp: createLookUp(client) });
  const addresses = async (): Promise<string[]> => {
    // No address at all is the empty list: what the caller of the resolver would refuse.
    const found = await resolver.resolve(NAME, NEVER).catch(() => []);
    return found.map(({ text }) => text);
  };
  const advance = (ms: number): void => {
    nowMs += ms;
  };
  return use({ ask, addresses, advance }).finally(() => server.close());
}

function dials(policy: Policy, text: string): boolean {
  const endpoint = { address: address(text), port: 443 };
  return decide(policy, { ask: 'dial', host: { kind: 'name', name: NAME }, endpoint }).allow;
}

function cnameLoop(): Promise<Outcome> {
  const answers = [cname('allowed.test', 'b.test'), cname('b.test', 'allowed.test')];
  return withServer(
    () => [{ answers }],
    async ({ ask, addresses }) => {
      const { rcode } = await ask('allowed.test', 1);
      return check(rcode === 2 && (await addresses()).length === 0, 'SERVFAIL', `rcode ${rcode}`);
    },
  );
}

function cnameToPrivate(policy: Policy): Promise<Outcome> {
  const answers = [cname('allowed.test', 'x.evil.test'), a('x.evil.test', '10.0.0.1')];
  return withServer(
    () => [{ answers }],
    async ({ ask, addresses }) => {
      const { rcode, data } = await ask('allowed.test', 1);
      const dialled = (await addresses()).filter(text => dials(policy, text));
      return check(rcode === 3 && data.length === 0 && dialled.length === 0, 'refused', {
        rcode,
        data,
        dialled,
      });
    },
  );
}

function manyRecords(): Promise<Outcome> {
  // As many as one datagram holds.
  const answers = Array.from({ length: 500 }, (_, i) => a('allowed.test', `93.184.${i >> 8}.${i & 255}`));
  return withServer(
    () => [{ answers }],
    async ({ addresses }) => {
      const { length } = await addresses();
      return check(length > 0 && length <= 64, 'bounded', `${length} addresses`);
    },
  );
}

function rebinding(policy: Policy): Promise<Outcome> {
  let current = '93.184.215.14';
  return withServer(
    () => [{ answers: [a('allowed.test', current, 0)] }],
    async ({ addresses, advance }) => {
      const first = await addresses();
      current = '127.0.0.1';
      advance(2000);
      const second = await addresses();
      const holds =
        first.every(text => dials(policy, text)) &&
        second.length > 0 &&
        !second.some(text => dials(policy, text));
      return check(holds, 'each dial is judged by its own address', { first, second });
    },
  );
}

function poisoning(): Promise<Outcome> {
  const forged = {
    questions: [{ type: 'A' as const, name: 'other.test' }],
    answers: [a('allowed.test', '10.9.9.9')],
  };
  const beside = { answers: [a('other.test', '10.9.9.9'), a('allowed.test', '93.184.215.14')] };
  return withServer(
    () => [forged, beside],
    async ({ ask }) => {
      const { data } = await ask('allowed.test', 1);
      return check(data.join() === '93.184.215.14', 'the record of the asked name alone', data);
    },
  );
}

function hugeTtl(): Promise<Outcome> {
  return withServer(
    () => [{ answers: [a('allowed.test', '93.184.215.14', 2 ** 31)] }],
    async ({ ask }) => {
      const { ttl } = await ask('allowed.test', 1);
      return check(ttl !== null && ttl <= 300, 'clamped', `TTL ${ttl}`);
    },
  );
}

async function flood(): Promise<Outcome> {
  const [one, other] = [testRoom(), testRoom()];
  const query = queryBytes('allowed.test', 1);
  let answered = 0;
  for (let i = 0; i < 10_000; i++) {
    if (i % 10 === 0) one.advance(1);
    if ((await one.room.answer(query, 'udp', NEVER)) !== null) answered += 1;
  }
  const { rcode } = await other.ask('allowed.test', 1);
  return check(
    answered <= 600 && rcode === 0,
    'rate limited; others are not',
    `${answered} answered, rcode ${rcode}`,
  );
}

async function amplification(): Promise<Outcome> {
  const { room } = testRoom();
  let worst = 0;
  for (const name of ['allowed.test', 'evil.test', 'localhost', '.']) {
    for (const type of [1, 12, 16, 28, 65, 255]) {
      for (const query of [queryBytes(name, type), queryBytes(name, type, { edns: {} })]) {
        const reply = await room.answer(query, 'udp', NEVER);
        worst = Math.max(worst, (reply?.length ?? 0) - query.length);
      }
    }
  }
  return check(worst <= 28, 'at most 28 bytes more', `${worst} bytes more`);
}

function dnsOverTls(policy: Policy): Outcome {
  const targets = ['8.8.8.8', '1.1.1.1', '9.9.9.9'].map(text => ({ address: address(text), port: 853 }));
  const opened = targets.filter(target => decide(policy, { ask: 'open', host: null, target }).allow);
  return check(opened.length === 0, 'denied', opened);
}

function dnsOverHttps(policy: Policy, text: string): Outcome {
  const names = (text.match(/[a-z0-9-]+(?:\.[a-z0-9-]+)+/g) ?? []).map(hostname);
  const allowed = names.filter(name => decide(policy, { ask: 'resolve', name }).allow);
  return check(names.length > 0 && allowed.length === 0, 'denied', allowed);
}

function dnsOverHttpsByAddress(policy: Policy, text: string): Outcome {
  const authority = parseAuthority(/https:\/\/([^/]+)/.exec(text)?.[1] ?? '', 'https');
  if (!authority.ok) return failed('an authority', authority.error);
  const verdict = decide(policy, {
    ask: 'request',
    authority: authority.value,
    method: 'GET',
    path: '/dns-query',
  });
  return check(!verdict.allow, 'denied', verdict.allow);
}
